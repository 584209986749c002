//! Label selectors: which labels they take (k8s.io/apimachinery, `labels/selector.go`).

use crate::field::{Field, Undecided};

/// Whether labels have all that a plain map of labels asks for, as Services select. An empty map asks for nothing.
///
/// # Errors
/// Either is no object, or a value in it is no string.
pub fn has_labels(labels: Field<'_>, wanted: Field<'_>) -> Result<bool, Undecided> {
    for (key, value) in wanted.members()? {
        if label(labels, key)? != Some(value.text()?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a LabelSelector (`matchLabels` and `matchExpressions`) takes these labels. An empty one takes all.
///
/// # Errors
/// It is not as Kubernetes has it.
pub fn selects(selector: Field<'_>, labels: Field<'_>) -> Result<bool, Undecided> {
    if !has_labels(labels, selector.at("matchLabels"))? {
        return Ok(false);
    }
    for expression in selector.at("matchExpressions").items()? {
        let value = label(labels, expression.at("key").text()?)?;
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
                return Err(expression.at("operator").undecided("must be In, NotIn, Exists or DoesNotExist"));
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The value of a label; an empty one is a value.
fn label<'a>(labels: Field<'a>, key: &str) -> Result<Option<&'a str>, Undecided> {
    labels.key(labels.arena().text(key)).str()
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
        let labels = decode(r#"{"app":"web","a.b/c":"","tier":"front"}"#);
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
            assert_eq!(selects(decode(selector), labels).unwrap(), wanted, "{selector}");
        }
        let odd = decode(r#"{"matchExpressions":[{"key":"app","operator":"in","values":["web"]}]}"#);
        assert!(selects(odd, labels).is_err());
        assert!(!selects(decode(r#"{"matchLabels":{"app":"web"}}"#), Field::missing(&arena)).unwrap());
        assert!(selects(decode("[]"), labels).is_err());
    }
}
