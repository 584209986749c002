//! The templates of prometheus-adapter: what it asks Prometheus, and by which labels it tells objects apart.
//!
//! Source: kubernetes-sigs/prometheus-adapter v0.12.0, `docs/config.md` and `pkg/naming/metrics_query.go`.

/// A matcher that stands for those of the object that is asked for.
pub(crate) const MATCHED: &str = "__matched__";

/// What becomes of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FilledTemplate<'t> {
    Text(String),
    /// What it writes depends on more than is known here.
    Open,
    /// It asks for a field that there is none of.
    Unknown(&'t str),
}

/// A template with the values of its fields; those without a value depend on the object.
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

/// Whether an action is a field and nothing else.
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
