//! A text that is a case: a request that is asked of the policies, in the cluster that it describes.

use policy_catalog::CONFIGURES;
use policy_core::path::{Segment, excerpt};
use policy_core::yaml::Document;
use policy_core::{Arena, Case, Configured, Field, FieldPath, Request};
use policy_manifests::{ObjectName, edited};

use crate::asked::Asked;
use crate::picture::Gathered;
use crate::said::Said;
use crate::text::{Changed, Place, Text};

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
    let case = Case::decode(text, arena).map_err(|error| {
        let place = match &error {
            policy_core::case::CaseError::Unreadable(undecided) => at(&undecided.field),
            _ => Place::default(),
        };
        (error.to_string(), place)
    })?;
    let own = own_policies(&case, asked).map_err(|error| (error, Place::default()))?;
    let verdicts = case.ask(own.as_deref().unwrap_or(&asked.policies), arena);
    let verdicts = verdicts.map_err(|undecided| (undecided.to_string(), at(&undecided.field)))?;
    let request = Request::read(Field::root(case.request, arena));
    let request = request.map_err(|undecided| (undecided.to_string(), at(&undecided.field)))?;
    let mut gathered = Gathered::new(arena);
    for object in case.cluster.iter().flatten().chain(request.object.value().ok().flatten()) {
        if let Ok(request) = Request::create(Field::root(*object, arena), &asked.namespace) {
            gathered.add(&request);
        }
    }
    let key = |name: &str| Segment::Key(name.to_owned());
    let has_object = root.is_some_and(|root| root.get("object").is_some_and(|object| !object.is_null()));
    let prefix = FieldPath(match has_object {
        true => vec![key("object")],
        false => vec![key("request"), key("oldObject")],
    });
    said.add(&ObjectName::of(&request), at(&prefix), &verdicts, None, |_, finding| {
        at(&finding.field.below(&prefix))
    });
    if let Some(patched) = verdicts.patched {
        match edited(document, &prefix, verdicts.original, patched) {
            Ok(changed) => said.changed.push(Changed::of(document, changed)),
            Err(reason) => said.note(reason),
        }
    }
    said.picture = gathered.picture();
    Ok(())
}

/// The policy that the text itself names or brings settings for, if it does.
fn own_policies(case: &Case<'_>, asked: &Asked) -> Result<Option<Vec<Configured>>, String> {
    if case.policy.is_none() && case.settings.is_empty() {
        return Ok(None);
    }
    let named = match (case.policy, asked.policies.as_slice()) {
        (Some(name), _) => name,
        (None, [one]) => one.about.name,
        (None, _) => return Err("`settings` are of one policy: ask one, or name it with `policy`".to_owned()),
    };
    let found = CONFIGURES.into_iter().find(|(about, _)| about.name == named);
    let (about, configure) = found.ok_or_else(|| format!("there is no policy `{}`", excerpt(named)))?;
    let policy = configure(&case.settings).map_err(|error| error.to_string())?;
    Ok(Some(vec![Configured { about, policy }]))
}
