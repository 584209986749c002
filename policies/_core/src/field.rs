//! A value with its path, so that a message always names the field that was read.

use std::fmt;

use crate::path::{FieldPath, Path, Step, excerpt};
use crate::value::{Arena, Value};

/// A field of an object: its path, and its value if it is set.
///
/// Fields are `Copy`, and you can only navigate down. As in Kubernetes, `null` counts as not set. Reading a value as the wrong
/// type returns [`Undecided`], never a default.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    arena: &'a Arena,
    path: &'a Path<'a>,
    found: Lookup<'a>,
}

#[derive(Clone, Copy)]
enum Lookup<'a> {
    Value(&'a Value<'a>),
    Missing,
    /// A parent on the path has no members or items: the path of that parent, and a description of its type.
    Blocked(&'a Path<'a>, &'static str),
}

/// Why a policy could not decide: the field and the reason. Only [`crate::admit()`] decides how to handle it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    /// The field with the problem.
    pub field: FieldPath,
    /// The problem: lower case, imperative.
    pub reason: String,
    /// Whether the problem is in the cluster data, not in the object.
    pub is_cluster_error: bool,
}

impl Undecided {
    /// A problem with the cluster data.
    pub fn cluster_error(reason: impl Into<String>) -> Self {
        Undecided { field: FieldPath::default(), reason: reason.into(), is_cluster_error: true }
    }

    /// Attributes the problem to another object, `kind` `name`, instead of the object under review.
    #[must_use]
    pub fn in_object(self, kind: &str, name: &str) -> Self {
        Undecided::cluster_error(format!("{kind} `{}`: {self}", excerpt(name)))
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.0.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Undecided {}

impl<'a> Field<'a> {
    /// The root of a tree. Its path is empty.
    pub fn root(value: Value<'a>, arena: &'a Arena) -> Self {
        let path = arena.put(Path { parent: None, step: Step::Root });
        Field { arena, path, found: Lookup::Value(arena.put(value)) }
    }

    /// A root without a value, such as the new object of a DELETE request.
    pub fn missing(arena: &'a Arena) -> Self {
        Field { arena, path: arena.put(Path { parent: None, step: Step::Root }), found: Lookup::Missing }
    }

    /// The member reached by these keys, joined by dots: `field.at("securityContext.privileged")`.
    #[must_use]
    pub fn at(self, keys: &'a str) -> Self {
        let mut found = self.found;
        let mut rest = keys;
        while let Lookup::Value(value) = found {
            (found, rest) = match value {
                Value::Object(members) => descend(members, rest),
                Value::Null => (Lookup::Missing, ""),
                other => (self.blocked(keys, rest, other), ""),
            };
            if rest.is_empty() {
                break;
            }
        }
        Field { found, ..self.step(Step::Keys(keys)) }
    }

    /// The member with that single key, which may contain dots: `annotations.key("prometheus.io/port")`.
    #[must_use]
    pub fn key(self, key: &'a str) -> Self {
        let found = match self.found {
            Lookup::Value(Value::Null) => Lookup::Missing,
            Lookup::Value(value @ Value::Object(_)) => value.get(key).map_or(Lookup::Missing, Lookup::Value),
            Lookup::Value(other) => Lookup::Blocked(self.path, other.describe()),
            stuck => stuck,
        };
        Field { found, ..self.step(Step::Key(key)) }
    }

    /// The same value as the root of its own tree: paths start here.
    #[must_use]
    pub fn rerooted(self) -> Self {
        Field { path: self.arena.put(Path { parent: None, step: Step::Root }), ..self }
    }

    /// The same object as a root, with `apiVersion` and `kind` set, because items of a typed list omit them.
    ///
    /// # Errors
    /// The field is not set, or not an object.
    pub fn naming(self, api_version: &'a str, kind: &'a str) -> Result<Self, Undecided> {
        let mut members = vec![("apiVersion", Value::String(api_version)), ("kind", Value::String(kind))];
        match self.value()? {
            Some(Value::Object(own)) => {
                members.extend(own.iter().filter(|(key, _)| *key != "apiVersion" && *key != "kind"))
            }
            Some(other) => return Err(self.expected("an object", other)),
            None => return Err(self.undecided("must be set")),
        }
        Ok(Field::root(self.arena.object(&members), self.arena))
    }

    fn step(self, step: Step<'a>) -> Self {
        Field { path: self.arena.put(Path { parent: Some(self.path), step }), ..self }
    }

    /// The path `keys` ends early at `value`, which has no members; `rest` is the unread part of `keys`.
    #[cold]
    fn blocked(self, keys: &'a str, rest: &str, value: &Value<'_>) -> Lookup<'a> {
        let walked = keys.len().saturating_sub(rest.len() + 1);
        let path = match keys.get(..walked) {
            Some(keys) if !keys.is_empty() => self.step(Step::Keys(keys)).path,
            _ => self.path,
        };
        Lookup::Blocked(path, value.describe())
    }

    /// The value; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// A parent on the path is not an object.
    pub fn value(self) -> Result<Option<&'a Value<'a>>, Undecided> {
        match self.found {
            Lookup::Value(Value::Null) | Lookup::Missing => Ok(None),
            Lookup::Value(value) => Ok(Some(value)),
            Lookup::Blocked(path, is) => Err(Undecided {
                field: path.owned(),
                reason: format!("must be an object, is {is}"),
                is_cluster_error: false,
            }),
        }
    }

    /// Whether the field has a value other than `null`.
    ///
    /// # Errors
    /// See [`Field::value`].
    pub fn is_set(self) -> Result<bool, Undecided> {
        Ok(self.value()?.is_some())
    }

    /// The boolean value, if the field is set.
    ///
    /// # Errors
    /// The value has another type.
    pub fn bool(self) -> Result<Option<bool>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.expected("a boolean", other)),
        }
    }

    /// Whether the value is `true`.
    ///
    /// # Errors
    /// See [`Field::bool`].
    pub fn is_true(self) -> Result<bool, Undecided> {
        Ok(self.bool()? == Some(true))
    }

    /// The string value, if the field is set.
    ///
    /// # Errors
    /// The value has another type.
    pub fn str(self) -> Result<Option<&'a str>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.expected("a string", other)),
        }
    }

    /// The string value; empty if the field is not set, because Kubernetes treats both alike.
    ///
    /// # Errors
    /// See [`Field::str`].
    pub fn text(self) -> Result<&'a str, Undecided> {
        Ok(self.str()?.unwrap_or_default())
    }

    /// The integer value, if the field is set.
    ///
    /// # Errors
    /// The value has another type, or does not fit into `i64`.
    pub fn int(self) -> Result<Option<i64>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(self.expected("a 64-bit integer", other)),
        }
    }

    /// The items of the list; empty if the field is not set.
    ///
    /// # Errors
    /// The value is not a list.
    pub fn items(self) -> Result<impl ExactSizeIterator<Item = Field<'a>>, Undecided> {
        let items: &'a [Value<'a>] = match self.value()? {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.expected("a list", other)),
        };
        Ok(items
            .iter()
            .enumerate()
            .map(move |(i, value)| Field { found: Lookup::Value(value), ..self.step(Step::Index(i)) }))
    }

    /// The members of the object with their keys; empty if the field is not set.
    ///
    /// # Errors
    /// The value is not an object.
    pub fn members(self) -> Result<impl ExactSizeIterator<Item = (&'a str, Field<'a>)>, Undecided> {
        let members: &'a [crate::value::Member<'a>] = match self.value()? {
            None => &[],
            Some(Value::Object(members)) => members,
            Some(other) => return Err(self.expected("an object", other)),
        };
        Ok(members.iter().map(move |(key, value)| {
            (*key, Field { found: Lookup::Value(value), ..self.step(Step::Key(key)) })
        }))
    }

    /// An [`Undecided`] about this field.
    pub fn undecided(self, reason: impl Into<String>) -> Undecided {
        Undecided { field: self.path(), reason: reason.into(), is_cluster_error: false }
    }

    fn expected(self, what: &str, is: &Value<'_>) -> Undecided {
        self.undecided(format!("must be {what}, is {}", is.describe()))
    }

    /// An owned copy of the path.
    pub fn path(self) -> FieldPath {
        self.path.owned()
    }

    /// The arena that holds the tree.
    pub fn arena(self) -> &'a Arena {
        self.arena
    }
}

/// The member with the first of these keys, and the remaining keys.
///
/// Compares each member name with the start of `keys` instead of splitting at the dots first, which halves the evaluation
/// time. A member name that contains a dot never matches, so that an attacker cannot imitate a nested path.
#[inline]
fn descend<'a>(members: &'a [crate::value::Member<'a>], keys: &'a str) -> (Lookup<'a>, &'a str) {
    for (name, value) in members {
        let ends = match keys.as_bytes().get(name.len()) {
            None => keys.len() == name.len(),
            Some(byte) => *byte == b'.',
        };
        if ends && keys.starts_with(name) && !name.contains('.') {
            return (Lookup::Value(value), keys.get(name.len() + 1..).unwrap_or_default());
        }
    }
    (Lookup::Missing, "")
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        r#"{"metadata":{"annotations":{"a.b/c":"x"}},"spec":{"n":null,"s":"text","l":[{"k":true}]}}"#;

    fn with_pod<T>(read: impl FnOnce(Field<'_>) -> T) -> T {
        let arena = Arena::new();
        read(Field::root(Value::from_json(POD.as_bytes(), &arena).unwrap(), &arena))
    }

    #[test]
    fn fields_have_paths() {
        with_pod(|pod| {
            let item = pod.at("spec.l").items().unwrap().next().unwrap();
            assert_eq!(item.at("k").path().to_string(), "spec.l[0].k");
            assert_eq!(item.at("k").path().pointer(), "/spec/l/0/k");
            let annotation = pod.at("metadata.annotations").key("a.b/c");
            assert_eq!(annotation.path().to_string(), "metadata.annotations[a.b/c]");
            assert_eq!(annotation.path().pointer(), "/metadata/annotations/a.b~1c");
            assert_eq!(annotation.str().unwrap(), Some("x"));
            let missing = pod.at("spec").at("a").at("b.c").at("d").at("e");
            assert_eq!(missing.path().to_string(), "spec.a.b.c.d.e");
            assert_eq!(missing.value().unwrap(), None);
        });
    }

    #[test]
    fn keys_with_dots_do_not_match_nested_paths() {
        let arena = Arena::new();
        let text = r#"{"a.b":1,"":2,"a":{"b":3,"":4},"ab":5,"a.":6}"#;
        let root = Field::root(Value::from_json(text.as_bytes(), &arena).unwrap(), &arena);
        assert_eq!(root.at("a.b").int().unwrap(), Some(3));
        assert_eq!(root.key("a.b").int().unwrap(), Some(1));
        assert_eq!(root.at("ab").int().unwrap(), Some(5));
        assert_eq!(root.at("a.c").int().unwrap(), None);
        assert_eq!(root.at("b").int().unwrap(), None);
        assert_eq!(root.at("a.b.c").int().unwrap_err().to_string(), "a.b: must be an object, is an integer");
        assert_eq!(
            root.at("a").at("b.c").int().unwrap_err().to_string(),
            "a.b: must be an object, is an integer"
        );
    }

    #[test]
    fn null_is_not_set() {
        with_pod(|pod| {
            assert!(!pod.at("spec.n").is_set().unwrap());
            assert_eq!(pod.at("spec.n.deeper").bool().unwrap(), None);
        });
    }

    #[test]
    fn wrong_types_are_undecided() {
        with_pod(|pod| {
            let undecided = |result: Undecided| result.to_string();
            assert_eq!(
                undecided(pod.at("spec.s").bool().unwrap_err()),
                "spec.s: must be a boolean, is a string"
            );
            assert_eq!(
                undecided(pod.at("spec.s.t.u").bool().unwrap_err()),
                "spec.s: must be an object, is a string"
            );
            assert_eq!(
                undecided(pod.at("spec.s").at("t").items().err().unwrap()),
                "spec.s: must be an object, is a string"
            );
            assert_eq!(
                undecided(pod.at("spec.l").members().err().unwrap()),
                "spec.l: must be an object, is a list"
            );
            assert_eq!(
                undecided(pod.at("spec.l").key("x").str().unwrap_err()),
                "spec.l: must be an object, is a list"
            );
        });
    }
}
