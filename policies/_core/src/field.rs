//! A value and the way to it, so that a message cannot name another field than the one that was read.

use std::fmt;

use crate::path::{FieldPath, Path, Step, excerpt};
use crate::value::{Arena, Value};

/// A place in an object: its value, if there is one, and its path.
///
/// Fields are `Copy` and walk down only. A `null` reads as not set, as it does in Kubernetes. Reading a value as
/// what it is not gives [`Undecided`], never a default.
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
    /// The way led into something that has no members or items: the path of that, and what it is.
    Blocked(&'a Path<'a>, &'static str),
}

/// Why a policy could not decide: the field and what is the matter with it. Only [`crate::admit()`] says what
/// follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    /// Where the matter lies.
    pub field: FieldPath,
    /// What is the matter: lower case, imperative.
    pub reason: String,
    /// Whether it is not the object that is the matter, but what else exists.
    pub of_cluster: bool,
}

impl Undecided {
    /// It is not known what else exists.
    pub fn of_cluster(reason: impl Into<String>) -> Self {
        Undecided { field: FieldPath::default(), reason: reason.into(), of_cluster: true }
    }

    /// The matter is with another object, which is `kind` `name`, and not with the one that is judged.
    #[must_use]
    pub fn in_object(self, kind: &str, name: &str) -> Self {
        Undecided::of_cluster(format!("{kind} `{}`: {self}", excerpt(name)))
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

    /// A root that is not there, such as the object of a DELETE.
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

    /// The member of that one key, which may hold dots: `annotations.key("prometheus.io/port")`.
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

    /// The same value, but as the root of its own tree: paths start anew.
    #[must_use]
    pub fn rerooted(self) -> Self {
        Field { path: self.arena.put(Path { parent: None, step: Step::Root }), ..self }
    }

    /// The same object with that `apiVersion` and `kind`, as a root: an item of a typed list goes without saying them.
    ///
    /// # Errors
    /// There is no object here.
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

    /// The way by `keys` led into `value` when only `rest` of them was left.
    #[cold]
    fn blocked(self, keys: &'a str, rest: &str, value: &Value<'_>) -> Lookup<'a> {
        let walked = keys.len().saturating_sub(rest.len() + 1);
        let path = match keys.get(..walked) {
            Some(keys) if !keys.is_empty() => self.step(Step::Keys(keys)).path,
            _ => self.path,
        };
        Lookup::Blocked(path, value.describe())
    }

    /// The value; `None` where it is missing or `null`.
    ///
    /// # Errors
    /// The way led into something that is no object.
    pub fn value(self) -> Result<Option<&'a Value<'a>>, Undecided> {
        match self.found {
            Lookup::Value(Value::Null) | Lookup::Missing => Ok(None),
            Lookup::Value(value) => Ok(Some(value)),
            Lookup::Blocked(path, is) => Err(Undecided {
                field: path.owned(),
                reason: format!("must be an object, is {is}"),
                of_cluster: false,
            }),
        }
    }

    /// Whether there is a value other than `null`.
    ///
    /// # Errors
    /// As [`Field::value`].
    pub fn is_set(self) -> Result<bool, Undecided> {
        Ok(self.value()?.is_some())
    }

    /// The boolean here, if there is one.
    ///
    /// # Errors
    /// Anything else is here.
    pub fn bool(self) -> Result<Option<bool>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.expected("a boolean", other)),
        }
    }

    /// Whether `true` stands here.
    ///
    /// # Errors
    /// As [`Field::bool`].
    pub fn is_true(self) -> Result<bool, Undecided> {
        Ok(self.bool()? == Some(true))
    }

    /// The string here, if there is one.
    ///
    /// # Errors
    /// Anything else is here.
    pub fn str(self) -> Result<Option<&'a str>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.expected("a string", other)),
        }
    }

    /// The string here, empty where there is none: to Kubernetes the two are one.
    ///
    /// # Errors
    /// As [`Field::str`].
    pub fn text(self) -> Result<&'a str, Undecided> {
        Ok(self.str()?.unwrap_or_default())
    }

    /// The integer here, if there is one.
    ///
    /// # Errors
    /// Anything else is here, or an integer that `i64` cannot hold.
    pub fn int(self) -> Result<Option<i64>, Undecided> {
        match self.value()? {
            None => Ok(None),
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(self.expected("a 64-bit integer", other)),
        }
    }

    /// The items of the list here; none where there is no list.
    ///
    /// # Errors
    /// Anything but a list is here.
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

    /// The members of the object here, with their keys; none where there is no object.
    ///
    /// # Errors
    /// Anything but an object is here.
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
        Undecided { field: self.path(), reason: reason.into(), of_cluster: false }
    }

    fn expected(self, what: &str, is: &Value<'_>) -> Undecided {
        self.undecided(format!("must be {what}, is {}", is.describe()))
    }

    /// The path, on its own.
    pub fn path(self) -> FieldPath {
        self.path.owned()
    }

    /// The arena that the tree lives in.
    pub fn arena(self) -> &'a Arena {
        self.arena
    }
}

/// The member that the first of these keys names, and the keys after it.
///
/// Compares each member with the start of the keys, so that nobody has to look for the dots first: that halves the
/// time of a verdict. A member whose name has a dot in it is none of the keys, whatever an attacker calls it.
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
    fn knows_its_path() {
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
    fn a_name_with_dots_is_no_way_through() {
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
    fn what_is_not_as_expected_is_undecided() {
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
