//! Edits by path, made into a minimal JSON Patch (RFC 6902) and into the patched object.

use serde::Serialize;

use crate::path::{FieldPath, Segment};
use crate::value::{Arena, Member, Value};

/// What a policy wants changed, by the path of the field.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Set a member, whether it is there or not.
    Set {
        /// The member.
        path: FieldPath,
        /// What it becomes.
        value: serde_json::Value,
    },
    /// Add an item at the end of a list, whether the list is there or not.
    Append {
        /// The list.
        path: FieldPath,
        /// The item.
        value: serde_json::Value,
    },
}

/// One operation of a JSON Patch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation {
    /// `add` or `replace`.
    pub op: &'static str,
    /// A JSON Pointer.
    pub path: String,
    /// The value to add or to put in place.
    pub value: serde_json::Value,
}

/// An edit that cannot be made, because what is in its way is no object or list.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be changed: {reason}")]
pub struct PatchError {
    /// The field of the edit.
    pub path: FieldPath,
    /// What is in the way.
    pub reason: String,
}

/// Makes the edits, one after the other, on a copy of `object`.
///
/// Gives the operations that do the same to the object elsewhere, and the object as it is then. An edit that changes
/// nothing gives no operation; one below missing parents gives one operation that makes them all.
///
/// # Errors
/// [`PatchError`] for the first edit that cannot be made.
pub fn apply<'a>(
    object: Value<'a>,
    edits: &[Edit],
    arena: &'a Arena,
) -> Result<(Vec<Operation>, Value<'a>), PatchError> {
    let mut operations = Vec::new();
    let mut current = object;
    for edit in edits {
        let (path, value, append) = match edit {
            Edit::Set { path, value } => (path, value, false),
            Edit::Append { path, value } => (path, value, true),
        };
        let fail = |reason: String| PatchError { path: path.clone(), reason };
        let target = Target { path: &path.0, value, append, arena };
        let (next, operation) = target.place(current, 0).map_err(fail)?;
        current = next;
        operations.extend(operation);
    }
    Ok((operations, current))
}

/// One edit on its way down the tree.
struct Target<'e, 'a> {
    path: &'e [Segment],
    value: &'e serde_json::Value,
    append: bool,
    arena: &'a Arena,
}

impl<'a> Target<'_, 'a> {
    /// The value at `depth` with the edit made, and the operation that makes it.
    fn place(&self, at: Value<'a>, depth: usize) -> Result<(Value<'a>, Option<Operation>), String> {
        let Some(segment) = self.path.get(depth) else { return self.arrive(at, depth) };
        match (segment, at) {
            (Segment::Key(key), Value::Object(members)) => {
                match members.iter().position(|(name, _)| name == key) {
                    Some(i) => {
                        let mut members = members.to_vec();
                        let Some(member) = members.get_mut(i) else {
                            return Err("the object changed".to_owned());
                        };
                        let missing = member.1.is_null();
                        let (value, operation) = if missing {
                            self.make(depth + 1, "replace")?
                        } else {
                            self.place(member.1, depth + 1)?
                        };
                        member.1 = value;
                        Ok((self.arena.object(&members), operation))
                    }
                    None => {
                        let (value, operation) = self.make(depth + 1, "add")?;
                        let members: Vec<Member<'a>> =
                            members.iter().copied().chain([(self.arena.text(key), value)]).collect();
                        Ok((self.arena.object(&members), operation))
                    }
                }
            }
            (Segment::Index(index), Value::Array(items)) => {
                let mut items = items.to_vec();
                let Some(item) = items.get_mut(*index) else {
                    return Err(format!("there is no item {index}"));
                };
                let (value, operation) = self.place(*item, depth + 1)?;
                *item = value;
                Ok((self.arena.list(&items), operation))
            }
            (_, other) => Err(format!("{} is in the way", other.describe())),
        }
    }

    /// The edit at a place that has a value.
    fn arrive(&self, at: Value<'a>, depth: usize) -> Result<(Value<'a>, Option<Operation>), String> {
        let value = self.copy(self.value)?;
        if !self.append {
            let operation = (at != value).then(|| self.operation("replace", depth, "", self.value.clone()));
            return Ok((value, operation));
        }
        let Value::Array(items) = at else { return Err(format!("{} is in the way", at.describe())) };
        let items: Vec<Value<'a>> = items.iter().copied().chain([value]).collect();
        Ok((self.arena.list(&items), Some(self.operation("add", depth, "/-", self.value.clone()))))
    }

    /// The edit at a place that has none: the value, inside of the parents that are missing.
    fn make(&self, depth: usize, op: &'static str) -> Result<(Value<'a>, Option<Operation>), String> {
        let mut value = self.value.clone();
        if self.append {
            value = serde_json::Value::Array(vec![value]);
        }
        for segment in self.path.get(depth..).unwrap_or_default().iter().rev() {
            let Segment::Key(key) = segment else { return Err("a list on the way is missing".to_owned()) };
            value = serde_json::Value::Object([(key.clone(), value)].into_iter().collect());
        }
        Ok((self.copy(&value)?, Some(self.operation(op, depth, "", value))))
    }

    fn operation(&self, op: &'static str, depth: usize, end: &str, value: serde_json::Value) -> Operation {
        let reached = FieldPath(self.path.get(..depth).unwrap_or_default().to_vec());
        Operation { op, path: reached.pointer() + end, value }
    }

    fn copy(&self, value: &serde_json::Value) -> Result<Value<'a>, String> {
        Value::copy(value.clone(), self.arena).map_err(|error| error.to_string())
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
        let (operations, patched) = apply(object, &edits, &arena).map_err(|e| e.to_string())?;
        Ok((serde_json::to_string(&operations).unwrap(), patched.to_string()))
    }

    fn set(field: Field<'_>, value: serde_json::Value) -> Edit {
        Edit::Set { path: field.path(), value }
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
            r#"[{"op":"add","path":"/metadata","value":{"labels":{"a/b~c":"x"}}},{"op":"add","path":"/metadata/labels/d","value":"y"}]"#
        );
        assert_eq!(patched, r#"{"spec":{"unknown":1},"metadata":{"labels":{"a/b~c":"x","d":"y"}}}"#);
    }

    #[test]
    fn escapes_keys_and_appends() {
        let (operations, patched) = patch(r#"{"a/b":{"l":[1],"n":null}}"#, |root| {
            let a = root.key("a/b");
            vec![
                Edit::Append { path: a.at("l").path(), value: json!(2) },
                Edit::Append { path: a.at("m").path(), value: json!(3) },
                set(a.at("n"), json!(4)),
                set(a.at("n"), json!(4)),
            ]
        })
        .unwrap();
        assert_eq!(
            operations,
            r#"[{"op":"add","path":"/a~1b/l/-","value":2},{"op":"add","path":"/a~1b/m","value":[3]},{"op":"replace","path":"/a~1b/n","value":4}]"#
        );
        assert_eq!(patched, r#"{"a/b":{"l":[1,2],"n":4,"m":[3]}}"#);
    }

    #[test]
    fn refuses_what_is_in_the_way() {
        let result =
            patch(r#"{"metadata":"text"}"#, |root| vec![set(root.at("metadata.labels.a"), json!(1))]);
        assert_eq!(result.unwrap_err(), "metadata.labels.a: cannot be changed: a string is in the way");
    }
}
