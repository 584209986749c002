//! Label selectors: which labels they take (k8s.io/apimachinery, `labels/selector.go`).

use std::collections::BTreeMap;

use crate::field::{Field, Undecided};
use crate::path::excerpt;

/// The labels of an object, to be asked about many times: whoever has thousands of them is looked up no slower.
#[derive(Clone, Debug)]
pub struct Labels<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Labels<'a> {
    /// Reads labels.
    ///
    /// # Errors
    /// They are no object, or one of them is no string.
    pub fn of(labels: Field<'a>) -> Result<Self, Undecided> {
        let mut map = BTreeMap::new();
        for (key, value) in labels.members()? {
            // A value that is `null` is an empty one to whoever decodes a map of strings.
            map.insert(key, value.text()?);
        }
        Ok(Labels(map))
    }

    /// The same with one more label.
    pub fn add(&mut self, key: &'a str, value: &'a str) {
        self.0.insert(key, value);
    }

    /// Whether a Service selects them (`spec.selector`): one without a selector selects nothing.
    ///
    /// # Errors
    /// The Service is not as Kubernetes has it.
    pub fn are_served_by(&self, service: Field<'_>) -> Result<bool, Undecided> {
        let selector = service.at("spec.selector");
        Ok(selector.members()?.len() > 0 && self.have(selector)?)
    }

    /// Whether a LabelSelector (`matchLabels` and `matchExpressions`) takes them. An empty one takes all.
    ///
    /// # Errors
    /// As [`Selector::read`].
    pub fn are_selected_by(&self, selector: Field<'a>) -> Result<bool, Undecided> {
        Ok(Selector::read(selector)?.takes(self))
    }

    /// The value of that label.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    fn have(&self, wanted: Field<'_>) -> Result<bool, Undecided> {
        for (key, value) in wanted.members()? {
            if self.0.get(key).copied() != Some(value.text()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(labels: T) -> Self {
        // A collected map is sorted first, by code that guests do without.
        let mut map = BTreeMap::new();
        for (key, value) in labels {
            map.insert(key, value);
        }
        Labels(map)
    }
}

/// A LabelSelector (meta/v1), read once to be asked many times.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector<'a> {
    /// What must hold, all of it. Nothing: it takes all.
    pub requirements: Vec<Requirement<'a>>,
}

/// One thing that a selector asks of labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement<'a> {
    /// The label has one of these values, which are sorted.
    In(&'a str, Vec<&'a str>),
    /// The label has none of these values, which are sorted; also if there is no such label.
    NotIn(&'a str, Vec<&'a str>),
    /// There is such a label.
    Exists(&'a str),
    /// There is no such label.
    DoesNotExist(&'a str),
}

impl<'a> Selector<'a> {
    /// Reads a LabelSelector. What is not there takes all, as an empty one does; whoever means it otherwise asks before.
    ///
    /// # Errors
    /// The API server would not take it (`ValidateLabelSelector`): an operator that there is not, values where there must be
    /// none or none where there must be some, a key or a value that no label can have.
    pub fn read(selector: Field<'a>) -> Result<Self, Undecided> {
        let mut requirements = Vec::new();
        // Of one that is misspelt, the selector would take everything.
        for (key, field) in selector.members()? {
            if !matches!(key, "matchLabels" | "matchExpressions") {
                return Err(field.undecided("must not be set: there are matchLabels, matchExpressions"));
            }
        }
        for (key, value) in selector.at("matchLabels").members()? {
            let wanted = label_value(value)?;
            if !is_label_key(key) {
                return Err(value.undecided(NO_KEY));
            }
            requirements.push(Requirement::In(key, vec![wanted]));
        }
        for expression in selector.at("matchExpressions").items()? {
            requirements.push(Requirement::read(expression)?);
        }
        Ok(Selector { requirements })
    }

    /// Whether it takes an object with these labels.
    pub fn takes(&self, labels: &Labels<'_>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// The labels that it asks for.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.requirements.iter().map(Requirement::key)
    }

    /// Whether it takes whatever there is.
    pub fn takes_all(&self) -> bool {
        self.requirements.is_empty()
    }
}

const NO_KEY: &str = "must be a label's key: `name` or `prefix/name`";

impl<'a> Requirement<'a> {
    fn read(expression: Field<'a>) -> Result<Self, Undecided> {
        let key = expression.at("key").text()?;
        if !is_label_key(key) {
            return Err(expression.at("key").undecided(NO_KEY));
        }
        let values = expression.at("values");
        let mut listed = values.items()?.map(label_value).collect::<Result<Vec<_>, _>>()?;
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

    /// The label that it is about.
    pub fn key(&self) -> &'a str {
        match self {
            Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Exists(key)
            | Requirement::DoesNotExist(key) => key,
        }
    }

    fn holds(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(self.key());
        let is_listed = |values: &[&str]| value.is_some_and(|value| values.binary_search(&value).is_ok());
        match self {
            Requirement::In(_, values) => is_listed(values),
            Requirement::NotIn(_, values) => !is_listed(values),
            Requirement::Exists(_) => value.is_some(),
            Requirement::DoesNotExist(_) => value.is_none(),
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

/// Whether a label may be called that (apimachinery, `IsQualifiedName`); of the prefix only what separates keys is looked at.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        (1..=253).contains(&prefix.len())
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    is_name(name) && prefix.is_none_or(is_prefix)
}

fn is_name(name: &str) -> bool {
    let at_the_ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    name.len() <= 63
        && at_the_ends(bytes.first())
        && at_the_ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Arena, Value};

    #[test]
    fn selectors_take_what_kubernetes_says() {
        let arena = Arena::new();
        let decode =
            |text: &str| Field::root(Value::from_json(arena.bytes(text.as_bytes()), &arena).unwrap(), &arena);
        let labels = Labels::of(decode(r#"{"app":"web","a.b/c":"","tier":"front"}"#)).unwrap();
        for (selector, wanted) in [
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
            assert_eq!(labels.are_selected_by(decode(selector)).unwrap(), wanted, "{selector}");
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
        for (service, wanted) in [
            ("{}", false),
            (r#"{"spec":{"selector":{}}}"#, false),
            (r#"{"spec":{"selector":{"app":"web"}}}"#, true),
        ] {
            assert_eq!(labels.are_served_by(decode(service)).unwrap(), wanted, "{service}");
        }
    }
}
