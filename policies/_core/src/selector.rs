//! Label selectors: which labels they take (k8s.io/apimachinery, `labels/selector.go`).

use std::collections::BTreeMap;

use crate::field::{Field, Undecided};

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
            if let Some(value) = value.str()? {
                map.insert(key, value);
            }
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
    /// It is not as Kubernetes has it.
    pub fn are_selected_by(&self, selector: Field<'_>) -> Result<bool, Undecided> {
        if !self.have(selector.at("matchLabels"))? {
            return Ok(false);
        }
        for expression in selector.at("matchExpressions").items()? {
            let value = self.0.get(expression.at("key").text()?).copied();
            let mut is_listed = false;
            for listed in expression.at("values").items()? {
                is_listed |= value == Some(listed.text()?);
            }
            let holds = match expression.at("operator").text()? {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => {
                    return Err(expression
                        .at("operator")
                        .undecided("must be In, NotIn, Exists or DoesNotExist"));
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
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
        let odd = decode(r#"{"matchExpressions":[{"key":"app","operator":"in","values":["web"]}]}"#);
        assert!(labels.are_selected_by(odd).is_err());
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
