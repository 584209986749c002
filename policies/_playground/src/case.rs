//! A text that is a case: a request that is asked of the policies, in the cluster that it describes.

use policy_catalog::CONFIGURES;
use policy_core::path::{Segment, excerpt};
use policy_core::yaml::Document;
use policy_core::{Arena, Case, ConfiguredPolicy, Field, FieldPath, Request, Undecided};
use policy_manifests::{ObjectName, edited};

use crate::asked::Asked;
use crate::picture::Gathered;
use crate::said::{ObjectHeading, Said};
use crate::text::{Place, Text};

/// Whether a document is a case and no object: it has an object or a request, and no kind.
pub(crate) fn is_case(document: &Document<'_>) -> bool {
    let has = |key: &str| {
        document.text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    };
    (has("object") || has("request")) && !has("kind")
}

/// Judges a case.
pub(crate) fn judge(document: &Document<'_>, text: &str, asked: &Asked) -> Said {
    let arena = Arena::new();
    let lines = Text::new(text);
    let mut said = Said::default();
    said.is_case = true;
    if let Err((message, place)) = add(document, text, &lines, asked, &arena, &mut said) {
        said.fail(message, place);
    }
    said
}

fn add<'a>(
    document: &Document<'a>,
    text: &'a str,
    lines: &Text<'_>,
    asked: &Asked,
    arena: &'a Arena,
    said: &mut Said,
) -> Result<(), (String, Place)> {
    let root = document.decode(arena).map_err(|error| (error.to_string(), lines.place(error.position)))?;
    let places = document.places();
    let at = |path: &FieldPath| lines.place(places.of(path));
    let key = |name: &str| Segment::Key(name.to_owned());
    let case = Case::decode(text, arena).map_err(|error| {
        let place = match &error {
            policy_core::case::CaseError::Unreadable(undecided) => at(&undecided.field),
            _ => Place::default(),
        };
        (error.to_string(), place)
    })?;
    let settings = FieldPath(vec![key("settings")]);
    let own = own_policies(&case, asked).map_err(|error| (error, at(&settings)))?;
    if matches!(own, Some(Own::OfText(_))) && !case.settings.is_empty() {
        said.note("the settings are those of the text, not of the form".to_owned());
    }
    let verdicts = case.ask(own.as_ref().map_or(asked.policies.as_slice(), Own::policies), arena);
    // What the request says of itself stands below `request`.
    let of_request = |undecided: Undecided| {
        let field = undecided.field.below(&FieldPath(vec![key("request")]));
        let place = at(&field);
        (Undecided { field, ..undecided }.to_string(), place)
    };
    let verdicts = verdicts.map_err(of_request)?;
    let request = Request::read(Field::root(case.request, arena));
    let request = request.map_err(of_request)?;
    let mut gathered = Gathered::new(arena);
    for object in case.cluster.iter().flatten().chain(request.object.value().ok().flatten()) {
        if let Ok(request) = Request::create(Field::root(*object, arena), &asked.namespace) {
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
        is_evaluated: !asked.policies.is_empty(),
    };
    said.add(about, &verdicts, None, |finding| at(&finding.field.below(&prefix)));
    if let Some(patched) = verdicts.patched {
        said.change(document, || edited(document, &prefix, verdicts.original, patched));
    }
    said.picture = gathered.picture();
    Ok(())
}

/// The policy that the text itself names or brings settings for, if it does: with its settings, or with those of the form.
fn own_policies<'s>(case: &Case<'_>, asked: &'s Asked) -> Result<Option<Own<'s>>, String> {
    let asked_for = asked.policies.as_slice();
    let named = match (case.policy, asked_for) {
        (Some(name), _) => name,
        (None, _) if case.settings.is_empty() => return Ok(None),
        (None, [one]) => one.metadata.name,
        (None, _) => return Err("`settings` are of one policy: ask one, or name it with `policy`".to_owned()),
    };
    let of_form = asked_for.iter().position(|one| one.metadata.name == named);
    if let (true, Some(index)) = (case.settings.is_empty(), of_form) {
        return Ok(asked_for.get(index..=index).map(Own::OfForm));
    }
    let found = CONFIGURES.into_iter().find(|(metadata, _)| metadata.name == named);
    let (metadata, configure) = found.ok_or_else(|| format!("there is no policy `{}`", excerpt(named)))?;
    let policy = configure(&case.settings).map_err(|error| error.to_string())?;
    Ok(Some(Own::OfText([ConfiguredPolicy { metadata, policy }])))
}

/// The one policy that a case is asked of.
enum Own<'s> {
    OfForm(&'s [ConfiguredPolicy]),
    OfText([ConfiguredPolicy; 1]),
}

impl Own<'_> {
    fn policies(&self) -> &[ConfiguredPolicy] {
        match self {
            Own::OfForm(policies) => policies,
            Own::OfText(policies) => policies,
        }
    }
}
