//! The objects in a document: a single object or the items of a `List`, each as its CREATE request.

use std::fmt;

use policy_core::yaml::{Document, Position, YamlError};
use policy_core::{Arena, Field, FieldPath, Request, Undecided, Value};

/// A manifest that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The position in the text.
    pub position: Position,
    /// The reason.
    pub reason: String,
    /// Whether the document is something other than a Kubernetes object, because it has no `kind`.
    pub is_not_an_object: bool,
}

/// `12:9: reason`.
impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.reason)
    }
}

impl ManifestError {
    /// An error for an object that is not valid; `prefix` is the path of the object in the document.
    pub fn of(document: &Document<'_>, undecided: &Undecided, prefix: &FieldPath) -> Self {
        let position = document.places().of(&undecided.field.below(prefix));
        ManifestError {
            position,
            reason: format!("not a Kubernetes object: {undecided}"),
            is_not_an_object: false,
        }
    }
}

/// Calls `take` with each object of a document and its path in the document, or with an error.
pub fn each<'a>(
    document: &Document<'a>,
    namespace: &'a str,
    arena: &'a Arena,
    take: impl FnMut(Result<(Request<'a>, &FieldPath), ManifestError>),
) {
    each_decoded(document, document.decode(arena), namespace, arena, take);
}

/// Like [`each`], for a decoded document.
pub fn each_decoded<'a>(
    document: &Document<'_>,
    decoded: Result<Option<Value<'a>>, YamlError>,
    namespace: &'a str,
    arena: &'a Arena,
    mut take: impl FnMut(Result<(Request<'a>, &FieldPath), ManifestError>),
) {
    let value = match decoded {
        Ok(Some(value)) => value,
        Ok(None) => return,
        Err(error) => {
            let (position, reason) = (error.position, error.to_string());
            return take(Err(ManifestError { position, reason, is_not_an_object: false }));
        }
    };
    let is_not_an_object = !matches!(value, Value::Object(_)) || value.get("kind").is_none();
    let unreadable = |undecided: &Undecided, prefix: &FieldPath| ManifestError {
        is_not_an_object,
        ..ManifestError::of(document, undecided, prefix)
    };
    let mut objects = Vec::new();
    let unlisted = unlist(Field::root(value, arena), FieldPath::default(), None, &mut objects);
    if let Err(undecided) = unlisted {
        return take(Err(unreadable(&undecided, &FieldPath::default())));
    }
    for (object, prefix) in objects {
        let request = Request::create(object, namespace).map_err(|undecided| unreadable(&undecided, &prefix));
        take(request.map(|request| (request, &prefix)));
    }
}

/// Collects the items of a `List`, or the single object, each with its path in the document.
fn unlist<'a>(
    object: Field<'a>,
    prefix: FieldPath,
    of: Option<(&'a str, &'a str)>,
    objects: &mut Vec<(Field<'a>, FieldPath)>,
) -> Result<(), Undecided> {
    let at = |undecided: Undecided| Undecided { field: undecided.field.below(&prefix), ..undecided };
    // kubectl treats an object with `items` as a list, regardless of its kind.
    let items = object.at("items");
    let list_kind = object.at("kind").text().map_err(at)?.strip_suffix("List");
    let is_list = match items.value().map_err(at)? {
        Some(Value::Array(_)) => true,
        Some(_) if list_kind.is_some() => return Err(at(items.undecided("must be a list"))),
        _ => false,
    };
    // Other tools decode it by its kind, so it also counts as an object itself.
    if !is_list || list_kind.is_none() {
        // The items of a PodList are Pods, even without a `kind`.
        let object = match of {
            Some((version, kind)) if object.at("kind").text().map_err(at)?.is_empty() => {
                object.naming(version, kind).map_err(at)?
            }
            _ => object.rerooted(),
        };
        objects.push((object, prefix.clone()));
    }
    if !is_list {
        return Ok(());
    }
    let kind = list_kind.filter(|kind| !kind.is_empty());
    let version = object.at("apiVersion").text().map_err(at)?;
    for item in items.items().map_err(at)? {
        let path = item.path().below(&prefix);
        unlist(item.rerooted(), path, kind.map(|kind| (version, kind)), objects)?;
    }
    Ok(())
}
