//! Labels, and label selectors: which labels they match (k8s.io/apimachinery, `labels/selector.go`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

/// The labels of an object, read once to be compared with many selectors.
#[derive(Clone, Debug)]
pub struct Labels<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Labels<'a> {
    /// Reads labels.
    ///
    /// # Errors
    /// They are not an object, or one of them is not a string.
    pub fn of(labels: Field<'a>) -> Result<Self, Undecided> {
        let mut map = BTreeMap::new();
        for (key, value) in labels.members()? {
            // Decoding a map of strings turns a value that is `null` into an empty one.
            map.insert(key, value.text()?);
        }
        Ok(Labels(map))
    }

    /// Adds a label, or replaces the one of that key.
    pub fn add(&mut self, key: &'a str, value: &'a str) {
        self.0.insert(key, value);
    }

    /// Whether a LabelSelector (`matchLabels` and `matchExpressions`) matches them. An empty one matches all.
    ///
    /// # Errors
    /// As [`Selector::read`].
    pub fn are_selected_by(&self, selector: Field<'a>) -> Result<bool, Undecided> {
        Ok(Selector::read(selector)?.matches(self))
    }

    /// The value of that label.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    /// All labels, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Whether they contain each of these labels, with its value.
    pub fn contain(&self, others: &Labels<'_>) -> bool {
        others.iter().all(|(key, value)| self.get(key) == Some(value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(labels: T) -> Self {
        // Collecting a map sorts first, with code that guests can do without.
        let mut map = BTreeMap::new();
        for (key, value) in labels {
            map.insert(key, value);
        }
        Labels(map)
    }
}

/// A LabelSelector (meta/v1), read once to be compared with many labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector<'a> {
    /// All of these must hold. With none, the selector matches everything.
    pub requirements: Vec<Requirement<'a>>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement<'a> {
    /// The label has one of these values, which are sorted.
    In(Cow<'a, str>, Vec<Cow<'a, str>>),
    /// The label has none of these values, which are sorted, or does not exist.
    NotIn(Cow<'a, str>, Vec<Cow<'a, str>>),
    /// The label exists.
    Exists(Cow<'a, str>),
    /// The label does not exist.
    DoesNotExist(Cow<'a, str>),
}

impl<'a> Selector<'a> {
    /// Reads a LabelSelector. One that is not set matches everything, as an empty one does; a caller for which it matches
    /// nothing checks before.
    ///
    /// # Errors
    /// The API server would reject it (`ValidateLabelSelector`): an unknown operator, values where there must be none or none
    /// where there must be some, a key or a value that is not valid.
    pub fn read(selector: Field<'a>) -> Result<Self, Undecided> {
        let mut requirements = Vec::new();
        // A selector with a misspelt key would match everything.
        for (key, field) in selector.members()? {
            if !matches!(key, "matchLabels" | "matchExpressions") {
                return Err(field.undecided("must not be set: there are matchLabels, matchExpressions"));
            }
        }
        for (key, value) in selector.at("matchLabels").members()? {
            let required = label_value(value)?;
            if !is_label_key(key) {
                return Err(value.undecided(NOT_A_KEY));
            }
            requirements.push(Requirement::In(key.into(), vec![required.into()]));
        }
        for expression in selector.at("matchExpressions").items()? {
            requirements.push(Requirement::read(expression)?);
        }
        Ok(Selector { requirements })
    }

    /// Whether it matches an object with these labels.
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// The keys of the labels that it compares.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(Requirement::key)
    }

    /// Whether it matches every object.
    pub fn matches_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The same selector, independent of the text that it was read from.
    pub fn into_owned(self) -> Selector<'static> {
        Selector { requirements: self.requirements.into_iter().map(Requirement::into_owned).collect() }
    }
}

const NOT_A_KEY: &str = "must be a label's key: `name` or `prefix/name`";

impl<'a> Requirement<'a> {
    fn read(expression: Field<'a>) -> Result<Self, Undecided> {
        let key = expression.at("key").text()?;
        if !is_label_key(key) {
            return Err(expression.at("key").undecided(NOT_A_KEY));
        }
        let key = Cow::Borrowed(key);
        let values = expression.at("values");
        let mut listed = values
            .items()?
            .map(|value| label_value(value).map(Cow::Borrowed))
            .collect::<Result<Vec<_>, _>>()?;
        listed.sort_unstable();
        let operator = expression.at("operator");
        match (operator.text()?, listed.is_empty()) {
            ("In", false) => Ok(Requirement::In(key, listed)),
            ("NotIn", false) => Ok(Requirement::NotIn(key, listed)),
            ("Exists", true) => Ok(Requirement::Exists(key)),
            ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
            ("In" | "NotIn", true) => Err(values.undecided("must list at least one value")),
            ("Exists" | "DoesNotExist", false) => Err(values.undecided("must not be set with this operator")),
            _ => Err(operator.undecided("must be In, NotIn, Exists or DoesNotExist")),
        }
    }

    /// The key of the label that it compares.
    pub fn key(&self) -> &str {
        match self {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key,
        }
    }

    /// Whether labels meet it.
    pub fn holds(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(self.key());
        let is_listed = |values: &[Cow<'_, str>]| {
            value.is_some_and(|value| values.binary_search_by(|listed| listed.as_ref().cmp(value)).is_ok())
        };
        match self {
            Requirement::In(_, values) => is_listed(values),
            Requirement::NotIn(_, values) => !is_listed(values),
            Requirement::Exists(_) => value.is_some(),
            Requirement::DoesNotExist(_) => value.is_none(),
        }
    }

    fn into_owned(self) -> Requirement<'static> {
        let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let texts = |values: Vec<Cow<'_, str>>| values.into_iter().map(text).collect();
        match self {
            Requirement::In(key, values) => Requirement::In(text(key), texts(values)),
            Requirement::NotIn(key, values) => Requirement::NotIn(text(key), texts(values)),
            Requirement::Exists(key) => Requirement::Exists(text(key)),
            Requirement::DoesNotExist(key) => Requirement::DoesNotExist(text(key)),
        }
    }
}

fn label_value(field: Field<'_>) -> Result<&str, Undecided> {
    let value = field.text()?;
    match is_label_value(value) {
        true => Ok(value),
        false => Err(field.undecided(format!("must be a label's value, is `{}`", excerpt(value)))),
    }
}

/// Whether a label may have that value (apimachinery, `IsValidLabelValue`).
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Whether a label may have that key (apimachinery, `IsQualifiedName`); of the prefix only the characters are checked.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        (1..=253).contains(&prefix.len())
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    is_name(name) && prefix.is_none_or(is_prefix)
}

fn is_name(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    name.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::{Arena, Value};

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let arena = Arena::new();
        let decode =
            |text: &str| Field::root(Value::from_json(arena.bytes(text.as_bytes()), &arena).unwrap(), &arena);
        let labels = Labels::of(decode(r#"{"app":"web","a.b/c":"","tier":"front"}"#)).unwrap();
        for (selector, expected) in [
            ("{}", true),
            (r#"{"matchLabels":{"app":"web","a.b/c":""}}"#, true),
            (r#"{"matchLabels":{"app":"api"}}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"In","values":["api","web"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"x","operator":"In","values":["web"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["api"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"x","operator":"NotIn","values":["web"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"tier","operator":"Exists"}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"DoesNotExist"}]}"#, false),
            (r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"x","operator":"Exists"}]}"#, false),
        ] {
            assert_eq!(labels.are_selected_by(decode(selector)).unwrap(), expected, "{selector}");
        }
        for (odd, message) in [
            (
                r#"[{"key":"app","operator":"in","values":["web"]}]"#,
                "operator: must be In, NotIn, Exists or DoesNotExist",
            ),
            (r#"[{"key":"app","operator":"In","values":[]}]"#, "values: must list at least one value"),
            (
                r#"[{"key":"app","operator":"Exists","values":["web"]}]"#,
                "values: must not be set with this operator",
            ),
            (
                r#"[{"key":"a/b/c","operator":"Exists"}]"#,
                "key: must be a label's key: `name` or `prefix/name`",
            ),
            (r#"[{"operator":"Exists"}]"#, "key: must be a label's key: `name` or `prefix/name`"),
            (
                r#"[{"key":"app","operator":"In","values":["-"]}]"#,
                "values[0]: must be a label's value, is `-`",
            ),
        ] {
            let odd = arena.text(&format!(r#"{{"matchExpressions":{odd}}}"#));
            let undecided = labels.are_selected_by(decode(odd)).unwrap_err();
            assert_eq!(undecided.to_string(), format!("matchExpressions[0].{message}"));
        }
        assert!(
            !Labels::of(Field::missing(&arena))
                .unwrap()
                .are_selected_by(decode(r#"{"matchLabels":{"app":"web"}}"#))
                .unwrap()
        );
        assert!(labels.are_selected_by(decode("[]")).is_err());
    }
}
