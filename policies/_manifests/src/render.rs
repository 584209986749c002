//! The text of a document with the changes that admission makes to its objects, and to the pods that they create.

use policy_core::patch::{self, Edit, PatchOperation};
use policy_core::yaml::Document;
use policy_core::{Arena, FieldPath, Request, Undecided, Value};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::{pods_of, template_making};

use crate::objects::{self, ManifestError};

/// The document's text with the changes of policies. Comments, order and style of everything else are preserved.
///
/// `changed` is called for every object, and for the pods of every workload. It gets the request for the object or the pod, the
/// request for the object, and the path of the object or the pod in the document. It returns the changed object, if any.
///
/// # Errors
/// The document is not readable, or a change cannot be written to the text.
pub fn rendered<'a>(
    document: &Document<'a>,
    namespace: &'a str,
    kinds: WorkloadKinds<'_>,
    arena: &'a Arena,
    mut changed: impl FnMut(&Request<'a>, &Request<'a>, &FieldPath) -> Option<Value<'a>>,
) -> Result<String, ManifestError> {
    let mut changes = DocumentChanges::default();
    let mut failure = None;
    objects::each(document, namespace, arena, |object| {
        let (request, prefix) = match object {
            Ok(object) => object,
            Err(unreadable) => {
                failure.get_or_insert(unreadable);
                return;
            }
        };
        if let Err(undecided) = changes.of(&request, prefix, kinds, &mut changed) {
            failure.get_or_insert(ManifestError::of(document, &undecided, prefix));
        }
    });
    if let Some(unreadable) = failure {
        return Err(unreadable);
    }
    let written = changes.written(document);
    written.map_err(|reason| ManifestError { position: document.start(), reason, is_not_an_object: false })
}

/// The document's text with the `old` object at `prefix` replaced by `new`.
///
/// # Errors
/// A message, if the change cannot be written to the text.
pub fn edited(
    document: &Document<'_>,
    prefix: &FieldPath,
    old: Value<'_>,
    new: Value<'_>,
) -> Result<String, String> {
    let mut changes = DocumentChanges::default();
    changes.add(prefix, old, new);
    changes.written(document)
}

/// The changes to a document.
#[derive(Default)]
struct DocumentChanges {
    /// The changes to its text.
    operations: Vec<PatchOperation>,
    /// The changes to its value.
    edits: Vec<Edit>,
}

impl DocumentChanges {
    /// Adds the changes to one object, and to the pods that it creates.
    fn of<'a>(
        &mut self,
        request: &Request<'a>,
        prefix: &FieldPath,
        kinds: WorkloadKinds<'_>,
        changed: &mut impl FnMut(&Request<'a>, &Request<'a>, &FieldPath) -> Option<Value<'a>>,
    ) -> Result<(), Undecided> {
        if let Some(patched) = changed(request, request, prefix) {
            self.add(prefix, request.object.value()?.copied().unwrap_or(Value::Null), patched);
        }
        let Some(pods) = pods_of(request, kinds)? else { return Ok(()) };
        let template = pods.template.below(prefix);
        if let Some(patched) = changed(&pods.request, request, &template) {
            let made = pods.request.with_object(patched).object;
            if let Some((old, new)) = template_making(request, made, kinds)? {
                self.add(&template, old, new);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &FieldPath, old: Value<'_>, new: Value<'_>) {
        let prefix = path.pointer();
        let below = |operation: PatchOperation<Value<'_>>| PatchOperation {
            path: prefix.clone() + &operation.path,
            ..operation.owned()
        };
        self.operations.extend(patch::between(old, new).into_iter().map(below));
        self.edits.push(Edit::Set { path: path.clone(), value: new.to_string() });
    }

    /// The text with the operations applied. The result is decoded again, and must equal the value with the edits applied.
    fn written(&self, document: &Document<'_>) -> Result<String, String> {
        if self.operations.is_empty() {
            return Ok(document.text.to_owned());
        }
        let refused = |reason: String| format!("the changes cannot be written here: {reason}");
        let text = document.edited(&self.operations).map_err(refused)?;
        let arena = Arena::new();
        let value = document.decode(&arena).map_err(|error| error.to_string())?;
        let wanted = patch::apply(value.unwrap_or(Value::Null), &self.edits, &arena);
        let wanted = wanted.map_err(|error| refused(error.to_string()))?;
        let read = Document { text: &text, line: document.line }.decode(&arena);
        if !matches!(read, Ok(Some(read)) if read.sorted(&arena) == wanted.sorted(&arena)) {
            return Err(refused(
                "the YAML has an anchor, an alias, a merge key or an unusual style; write the pod template in full, in \
                 block style"
                    .to_owned(),
            ));
        }
        Ok(text)
    }
}
