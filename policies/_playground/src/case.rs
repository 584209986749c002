//! Evaluates a text that is a case: a request, and the cluster data for it.

use policy_catalog::CONFIGURES;
use policy_core::path::{Segment, excerpt};
use policy_core::yaml::Document;
use policy_core::{Arena, Case, ConfiguredPolicy, Field, FieldPath, Request, Undecided};
use policy_manifests::{ObjectName, edited};

use crate::diagram::MapBuilder;
use crate::options::Options;
use crate::positions::{EditorText, TextRange};
use crate::report::{ObjectHeading, PlaygroundReport};

/// Whether a document is a case, not a Kubernetes object: it has `object` or `request`, but no `kind`.
pub(crate) fn is_case(document: &Document<'_>) -> bool {
    let has = |key: &str| {
        document.text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    };
    (has("object") || has("request")) && !has("kind")
}

/// Evaluates a case.
pub(crate) fn evaluate(document: &Document<'_>, text: &str, options: &Options) -> PlaygroundReport {
    let arena = Arena::new();
    let lines = EditorText::new(text);
    let mut report = PlaygroundReport::default();
    report.is_case = true;
    if let Err((message, place)) = add(document, text, &lines, options, &arena, &mut report) {
        report.fail(message, place);
    }
    report
}

fn add<'a>(
    document: &Document<'a>,
    text: &'a str,
    lines: &EditorText<'_>,
    options: &Options,
    arena: &'a Arena,
    report: &mut PlaygroundReport,
) -> Result<(), (String, TextRange)> {
    let root = document.decode(arena).map_err(|error| (error.to_string(), lines.place(error.position)))?;
    let places = document.places();
    let at = |path: &FieldPath| lines.place(places.of(path));
    let key = |name: &str| Segment::Key(name.to_owned());
    let case = Case::decode(text, arena).map_err(|error| {
        let place = match &error {
            policy_core::case::CaseError::Unreadable(undecided) => at(&undecided.field),
            _ => TextRange::default(),
        };
        (error.to_string(), place)
    })?;
    let settings = FieldPath(vec![key("settings")]);
    let own = own_policies(&case, options).map_err(|error| (error, at(&settings)))?;
    if matches!(own, Some(CasePolicy::OfText(_))) && !case.settings.is_empty() {
        report.note("using the settings of the text, not those of the form".to_owned());
    }
    let verdicts = case.ask(own.as_ref().map_or(options.policies.as_slice(), CasePolicy::policies), arena);
    // Errors in the request are located below `request`.
    let of_request = |undecided: Undecided| {
        let field = undecided.field.below(&FieldPath(vec![key("request")]));
        let place = at(&field);
        (Undecided { field, ..undecided }.to_string(), place)
    };
    let verdicts = verdicts.map_err(of_request)?;
    let request = Request::read(Field::root(case.request, arena));
    let request = request.map_err(of_request)?;
    let mut gathered = MapBuilder::new(arena);
    for object in case.cluster.iter().flatten().chain(request.object.value().ok().flatten()) {
        if let Ok(request) = Request::create(Field::root(*object, arena), &options.namespace) {
            gathered.add(&request);
        }
    }
    let has_object = root.is_some_and(|root| root.get("object").is_some_and(|object| !object.is_null()));
    let prefix = FieldPath(match has_object {
        true => vec![key("object")],
        false => vec![key("request"), key("oldObject")],
    });
    let name = ObjectName::of(&request);
    let about = ObjectHeading {
        name: &name,
        request: &request,
        place: at(&prefix),
        is_evaluated: !options.policies.is_empty(),
    };
    report.add(about, &verdicts, None, |finding| at(&finding.field.below(&prefix)));
    if let Some(patched) = verdicts.patched {
        report.change(document, || edited(document, &prefix, verdicts.original, patched));
    }
    report.picture = gathered.picture();
    Ok(())
}

/// The policy that the text names or has settings for, if any, with the settings of the text or else of the form.
fn own_policies<'s>(case: &Case<'_>, options: &'s Options) -> Result<Option<CasePolicy<'s>>, String> {
    let selected = options.policies.as_slice();
    let named = match (case.policy, selected) {
        (Some(name), _) => name,
        (None, _) if case.settings.is_empty() => return Ok(None),
        (None, [one]) => one.metadata.name,
        (None, _) => {
            return Err("`settings` are for one policy: select only one, or name it in `policy`".to_owned());
        }
    };
    let of_form = selected.iter().position(|one| one.metadata.name == named);
    if let (true, Some(index)) = (case.settings.is_empty(), of_form) {
        return Ok(selected.get(index..=index).map(CasePolicy::OfForm));
    }
    let found = CONFIGURES.into_iter().find(|(metadata, _)| metadata.name == named);
    let (metadata, configure) = found.ok_or_else(|| format!("unknown policy `{}`", excerpt(named)))?;
    let policy = configure(&case.settings).map_err(|error| error.to_string())?;
    Ok(Some(CasePolicy::OfText([ConfiguredPolicy { metadata, policy }])))
}

/// The only policy to evaluate a case with.
enum CasePolicy<'s> {
    OfForm(&'s [ConfiguredPolicy]),
    OfText([ConfiguredPolicy; 1]),
}

impl CasePolicy<'_> {
    fn policies(&self) -> &[ConfiguredPolicy] {
        match self {
            CasePolicy::OfForm(policies) => policies,
            CasePolicy::OfText(policies) => policies,
        }
    }
}
