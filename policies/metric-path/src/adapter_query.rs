//! Templates of prometheus-adapter for its queries and for the labels that identify objects.
//!
//! Source: kubernetes-sigs/prometheus-adapter v0.12.0, `docs/config.md` and `pkg/naming/metrics_query.go`.

/// Placeholder for the label matchers of the requested object.
pub(crate) const MATCHED: &str = "__matched__";

/// The result of filling in a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FilledTemplate<'t> {
    Text(String),
    /// The text depends on values that are not known here.
    Open,
    /// The template uses a field that does not exist.
    Unknown(&'t str),
}

/// Fills in the fields of a template. Fields without a value depend on the object.
pub(crate) fn fill<'t>(template: &'t str, fields: &[(&str, Option<&str>)]) -> FilledTemplate<'t> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("<<") {
        let Some((action, left)) = after.split_once(">>") else { return FilledTemplate::Open };
        text.push_str(before);
        let field = action.trim_matches(['-', ' ']);
        match fields.iter().find(|(name, _)| *name == field) {
            Some((_, Some(value))) => text.push_str(value),
            None if is_field(field) => return FilledTemplate::Unknown(field),
            _ => return FilledTemplate::Open,
        }
        rest = left;
    }
    text.push_str(rest);
    FilledTemplate::Text(text)
}

/// Whether an action consists of a single field.
fn is_field(action: &str) -> bool {
    let name = action.strip_prefix('.').unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::{FilledTemplate, fill};

    #[test]
    fn fields_are_filled() {
        let fields =
            [(".Series", Some("a")), (".GroupBy", Some("pod")), (".LabelMatchers", Some("")), (".X", None)];
        let text = |template| match fill(template, &fields) {
            FilledTemplate::Text(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"), "sum(a{}) by (pod)");
        assert_eq!(text("<< .Series >>{a='b',<<- .LabelMatchers ->>}"), "a{a='b',}");
        assert_eq!(text(""), "");
        for open in ["<<index .LabelValuesByName \"pod\">>", "<<.Series", "<<range .X>>a<<end>>", "<<.X>>"] {
            assert_eq!(fill(open, &fields), FilledTemplate::Open, "{open}");
        }
        assert_eq!(fill("<<.Serie>>{}", &fields), FilledTemplate::Unknown(".Serie"));
    }
}
