//! Applies edits by path to an object, and computes the minimal JSON Patch (RFC 6902).

use schemars::JsonSchema;
use serde::Serialize;

use crate::path::{FieldPath, Segment, escaped};
use crate::value::{Arena, Value};

/// A change that a policy makes, by the path of the field.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Set a member, whether it exists or not.
    Set {
        /// The member.
        path: FieldPath,
        /// The new value, as JSON.
        value: String,
    },
    /// Append an item to a list, whether the list exists or not.
    Append {
        /// The list.
        path: FieldPath,
        /// The item, as JSON.
        value: String,
    },
}

/// One operation of a JSON Patch.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PatchOperation<V = serde_json::Value> {
    /// `add` or `replace`.
    pub op: &'static str,
    /// A JSON Pointer.
    pub path: String,
    /// The value to add, or the new value.
    pub value: V,
}

/// An edit that cannot be applied, because a parent on the path is not an object or a list.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be changed: {reason}")]
pub struct PatchError {
    /// The field of the edit.
    pub path: FieldPath,
    /// Why the edit cannot be applied.
    pub reason: String,
}

/// Applies the edits to a copy of `object`, in order, and creates missing parents.
///
/// # Errors
/// [`PatchError`] for the first edit that cannot be applied.
pub fn apply<'a>(object: Value<'a>, edits: &[Edit], arena: &'a Arena) -> Result<Value<'a>, PatchError> {
    let mut current = object;
    for edit in edits {
        let (path, value, append) = match edit {
            Edit::Set { path, value } => (path, value, false),
            Edit::Append { path, value } => (path, value, true),
        };
        let fail = |reason: String| PatchError { path: path.clone(), reason };
        let target = EditCursor { path: &path.0, value, append, arena };
        current = target.place(current, 0).map_err(fail)?;
    }
    Ok(current)
}

/// The operations that turn `old` into `new`. Their number is minimal if members were only added or set and items only
/// appended. A missing parent is added as a whole.
pub fn between<'a>(old: Value<'_>, new: Value<'a>) -> Vec<PatchOperation<Value<'a>>> {
    let mut operations = Vec::new();
    compare(old, new, &mut String::new(), &mut operations);
    operations
}

fn compare<'a>(
    old: Value<'_>,
    new: Value<'a>,
    at: &mut String,
    operations: &mut Vec<PatchOperation<Value<'a>>>,
) {
    let length = at.len();
    match (old, new) {
        // Values that no edit has changed share the same memory.
        (Value::Object(old), Value::Object(new)) if std::ptr::eq(old, new) => {}
        (Value::Array(old), Value::Array(new)) if std::ptr::eq(old, new) => {}
        (Value::Object(old), Value::Object(new))
            if old.iter().zip(new).all(|(old, new)| old.0 == new.0) && new.len() >= old.len() =>
        {
            for (i, (key, value)) in new.iter().enumerate() {
                at.push('/');
                at.push_str(&escaped(key));
                match old.get(i) {
                    Some((_, old)) => compare(*old, *value, at, operations),
                    None => operations.push(PatchOperation::new("add", at, *value)),
                }
                at.truncate(length);
            }
        }
        (Value::Array(old), Value::Array(new)) if new.len() >= old.len() => {
            for (i, value) in new.iter().enumerate() {
                match old.get(i) {
                    Some(old) => {
                        at.push_str(&format!("/{i}"));
                        compare(*old, *value, at, operations);
                    }
                    None => operations.push(PatchOperation::new("add", &format!("{at}/-"), *value)),
                }
                at.truncate(length);
            }
        }
        (old, new) if old == new => {}
        (_, new) => operations.push(PatchOperation::new("replace", at, new)),
    }
}

impl<'a> PatchOperation<Value<'a>> {
    fn new(op: &'static str, path: &str, value: Value<'a>) -> Self {
        PatchOperation { op, path: path.to_owned(), value }
    }

    /// The operation with an owned value.
    pub fn owned(self) -> PatchOperation {
        // Serializing a value cannot fail.
        let value = serde_json::to_value(self.value).unwrap_or_default();
        PatchOperation { op: self.op, path: self.path, value }
    }
}

/// Applies one edit on the way down the tree.
struct EditCursor<'e, 'a> {
    path: &'e [Segment],
    value: &'e str,
    append: bool,
    arena: &'a Arena,
}

impl<'a> EditCursor<'_, 'a> {
    /// The value at `depth` with the edit applied. Existing members keep their order; new members are appended.
    fn place(&self, at: Value<'a>, depth: usize) -> Result<Value<'a>, String> {
        let Some(segment) = self.path.get(depth) else { return self.arrive(at) };
        match (segment, at) {
            (Segment::Key(key), Value::Object(members)) => {
                let mut members = members.to_vec();
                match members.iter_mut().find(|(name, _)| name == key) {
                    Some((_, member)) if member.is_null() => *member = self.make(depth + 1)?,
                    Some((_, member)) => *member = self.place(*member, depth + 1)?,
                    None => members.push((self.arena.text(key), self.make(depth + 1)?)),
                }
                Ok(self.arena.object(&members))
            }
            (Segment::Index(index), Value::Array(items)) => {
                let mut items = items.to_vec();
                let item = items.get_mut(*index).ok_or_else(|| format!("item {index} does not exist"))?;
                *item = self.place(*item, depth + 1)?;
                Ok(self.arena.list(&items))
            }
            (_, other) => Err(format!("{} is in the way", other.describe())),
        }
    }

    /// Applies the edit to an existing value.
    fn arrive(&self, at: Value<'a>) -> Result<Value<'a>, String> {
        let value = self.value()?;
        if !self.append {
            return Ok(if at == value { at } else { value });
        }
        let Value::Array(items) = at else { return Err(format!("{} is in the way", at.describe())) };
        let items: Vec<Value<'a>> = items.iter().copied().chain([value]).collect();
        Ok(self.arena.list(&items))
    }

    /// The new value inside its missing parents, for a path that does not exist yet.
    fn make(&self, depth: usize) -> Result<Value<'a>, String> {
        let mut value = self.value()?;
        if self.append {
            value = self.arena.list(&[value]);
        }
        for segment in self.path.get(depth..).unwrap_or_default().iter().rev() {
            let Segment::Key(key) = segment else { return Err("a list on the path is missing".to_owned()) };
            value = self.arena.object(&[(self.arena.text(key), value)]);
        }
        Ok(value)
    }

    fn value(&self) -> Result<Value<'a>, String> {
        Value::from_json(self.arena.bytes(self.value.as_bytes()), self.arena)
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use serde_json::json;

    fn patch(object: &str, edit: impl Fn(Field<'_>) -> Vec<Edit>) -> Result<(String, String), String> {
        let arena = Arena::new();
        let object = Value::from_json(object.as_bytes(), &arena).unwrap();
        let edits = edit(Field::root(object, &arena));
        let patched = apply(object, &edits, &arena).map_err(|e| e.to_string())?;
        Ok((serde_json::to_string(&between(object, patched)).unwrap(), patched.to_string()))
    }

    fn set(field: Field<'_>, value: serde_json::Value) -> Edit {
        Edit::Set { path: field.path(), value: value.to_string() }
    }

    #[test]
    fn makes_missing_parents_once() {
        let (operations, patched) = patch(r#"{"spec":{"unknown":1}}"#, |pod| {
            let labels = pod.at("metadata.labels");
            vec![set(labels.key("a/b~c"), json!("x")), set(labels.key("d"), json!("y"))]
        })
        .unwrap();
        assert_eq!(
            operations,
            r#"[{"op":"add","path":"/metadata","value":{"labels":{"a/b~c":"x","d":"y"}}}]"#
        );
        assert_eq!(patched, r#"{"spec":{"unknown":1},"metadata":{"labels":{"a/b~c":"x","d":"y"}}}"#);
    }

    #[test]
    fn escapes_keys_and_appends() {
        let (operations, patched) = patch(r#"{"a/b":{"l":[1],"n":null}}"#, |root| {
            let a = root.key("a/b");
            vec![
                Edit::Append { path: a.at("l").path(), value: json!(2).to_string() },
                Edit::Append { path: a.at("m").path(), value: json!(3).to_string() },
                set(a.at("n"), json!(4)),
                set(a.at("n"), json!(4)),
            ]
        })
        .unwrap();
        assert_eq!(
            operations,
            r#"[{"op":"add","path":"/a~1b/l/-","value":2},{"op":"replace","path":"/a~1b/n","value":4},{"op":"add","path":"/a~1b/m","value":[3]}]"#
        );
        assert_eq!(patched, r#"{"a/b":{"l":[1,2],"n":4,"m":[3]}}"#);
    }

    #[test]
    fn edits_through_scalars_are_rejected() {
        let result =
            patch(r#"{"metadata":"text"}"#, |root| vec![set(root.at("metadata.labels.a"), json!(1))]);
        assert_eq!(result.unwrap_err(), "metadata.labels.a: cannot be changed: a string is in the way");
    }
}
