//! Labels and label selectors (k8s.io/apimachinery, `labels/selector.go`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

/// The labels of an object, read once and compared with many selectors.
#[derive(Clone, Debug)]
pub struct Labels<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Labels<'a> {
    /// Reads labels.
    ///
    /// # Errors
    /// The field is not an object, or a value is not a string.
    pub fn of(labels: Field<'a>) -> Result<Self, Undecided> {
        let mut map = BTreeMap::new();
        for (key, value) in labels.members()? {
            // The API server decodes `null` in a map of strings as an empty string.
            map.insert(key, value.text()?);
        }
        Ok(Labels(map))
    }

    /// Adds a label, or replaces the label with that key.
    pub fn add(&mut self, key: &'a str, value: &'a str) {
        self.0.insert(key, value);
    }

    /// Whether a LabelSelector (`matchLabels` and `matchExpressions`) matches these labels. An empty selector matches all labels.
    ///
    /// # Errors
    /// The same as for [`Selector::read`].
    pub fn are_selected_by(&self, selector: Field<'a>) -> Result<bool, Undecided> {
        Ok(Selector::read(selector)?.matches(self))
    }

    /// The value of the label with that key.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    /// All labels, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Whether they contain all of these labels with the same values.
    pub fn contain(&self, others: &Labels<'_>) -> bool {
        others.iter().all(|(key, value)| self.get(key) == Some(value))
    }

    /// Whether the object has no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(labels: T) -> Self {
        // `collect` sorts first, which would add code to the WebAssembly modules.
        let mut map = BTreeMap::new();
        for (key, value) in labels {
            map.insert(key, value);
        }
        Labels(map)
    }
}

/// A LabelSelector (meta/v1), read once and compared with many labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector<'a> {
    /// All of these must hold. If empty, the selector matches everything.
    pub requirements: Vec<Requirement<'a>>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement<'a> {
    /// The label has one of these sorted values.
    In(Cow<'a, str>, Vec<Cow<'a, str>>),
    /// The label has none of these sorted values, or does not exist.
    NotIn(Cow<'a, str>, Vec<Cow<'a, str>>),
    /// The label exists.
    Exists(Cow<'a, str>),
    /// The label does not exist.
    DoesNotExist(Cow<'a, str>),
}

impl<'a> Selector<'a> {
    /// Reads a LabelSelector. If the field is not set, the selector matches everything, like an empty selector. Callers for which
    /// an unset selector matches nothing must check this first.
    ///
    /// # Errors
    /// The API server would reject the selector (`ValidateLabelSelector`): an operator, key or value is not valid, values are
    /// missing, or the operator does not allow values.
    pub fn read(selector: Field<'a>) -> Result<Self, Undecided> {
        let mut requirements = Vec::new();
        // A selector with a misspelled field would match everything.
        for (key, field) in selector.members()? {
            if !matches!(key, "matchLabels" | "matchExpressions") {
                return Err(field.undecided("must not be set: use one of matchLabels, matchExpressions"));
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

    /// Whether the selector matches an object with these labels.
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// The keys of the compared labels.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(Requirement::key)
    }

    /// Whether the selector matches every object.
    pub fn matches_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The same selector without borrowed data.
    pub fn into_owned(self) -> Selector<'static> {
        Selector { requirements: self.requirements.into_iter().map(Requirement::into_owned).collect() }
    }
}

const NOT_A_KEY: &str = "must be a valid label key: `name` or `prefix/name`";

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

    /// The key of the compared label.
    pub fn key(&self) -> &str {
        match self {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key,
        }
    }

    /// Whether these labels meet the requirement.
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
        false => Err(field.undecided(format!("must be a valid label value, is `{}`", excerpt(value)))),
    }
}

/// Whether a label value is valid (apimachinery, `IsValidLabelValue`).
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Whether a label key is valid (apimachinery, `IsQualifiedName`). For the prefix, only length and characters are checked.
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
                "key: must be a valid label key: `name` or `prefix/name`",
            ),
            (r#"[{"operator":"Exists"}]"#, "key: must be a valid label key: `name` or `prefix/name`"),
            (
                r#"[{"key":"app","operator":"In","values":["-"]}]"#,
                "values[0]: must be a valid label value, is `-`",
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
