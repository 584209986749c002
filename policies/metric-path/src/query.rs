//! What a rule of prometheus-adapter asks Prometheus: its `metricsQuery`, for no object in particular.
//!
//! Source: kubernetes-sigs/prometheus-adapter v0.12.0, `docs/config.md` and `pkg/naming/metrics_query.go`.

/// A template with the series, and the label by which objects are told apart, in the places of its actions; matchers are left out.
/// `None` where another action is in it: what that writes depends on the object.
pub(crate) fn filled(template: &str, series: &str, label: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("<<") {
        let (action, left) = after.split_once(">>")?;
        text.push_str(before);
        text.push_str(match action.trim_matches(['-', ' ']) {
            ".Series" => series,
            ".GroupBy" => label,
            ".LabelMatchers" => "",
            _ => return None,
        });
        rest = left;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn actions_are_filled() {
        let default = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)";
        assert_eq!(filled(default, "a", "pod").as_deref(), Some("sum(a{}) by (pod)"));
        assert_eq!(
            filled("<< .Series >>{a='b',<<- .LabelMatchers ->>}", "a", "").as_deref(),
            Some("a{a='b',}")
        );
        assert_eq!(filled("", "a", "pod").as_deref(), Some(""));
        for other in ["<<index .LabelValuesByName \"pod\">>", "<<.Series", "<<range .GroupBySlice>>a<<end>>"]
        {
            assert_eq!(filled(other, "a", "pod"), None, "{other}");
        }
    }
}
