//! Finds series that Prometheus drops by name after scraping them (`metricRelabelings` of a monitor).
//!
//! Source: prometheus.io/docs/prometheus/latest/configuration/configuration, `relabel_config`: the regular expression is anchored
//! at both ends and defaults to `(.*)`.

use policy_core::{Field, Undecided};
use policy_promql::regex;

/// Series about the scrape itself, to which relabelings do not apply.
const OF_SCRAPE: [&str; 5] = [
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "up",
];

/// The rule in an endpoint's `metricRelabelings` that drops the series with that name, if any. A rule that also reads other
/// labels, or that has an invalid expression, is assumed to drop nothing.
pub(crate) fn dropping_rule<'a>(endpoint: Field<'a>, series: &str) -> Result<Option<Field<'a>>, Undecided> {
    if OF_SCRAPE.contains(&series) {
        return Ok(None);
    }
    for rule in endpoint.at("metricRelabelings").items()? {
        // After this rule, the series may have another name, so the following rules are not evaluated.
        if rule.at("targetLabel").text()? == "__name__" {
            return Ok(None);
        }
        let labels = rule.at("sourceLabels").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
        let value = match labels.as_slice() {
            [] => "",
            ["__name__"] => series,
            _ => continue,
        };
        // prometheus-operator omits an empty expression.
        let pattern = rule.at("regex").str()?.filter(|pattern| !pattern.is_empty());
        let matches = regex::anchored(pattern.unwrap_or(".*")).map(|regex| regex.is_match(value));
        let drops = match rule.at("action").text()? {
            action if action.eq_ignore_ascii_case("drop") => matches == Some(true),
            action if action.eq_ignore_ascii_case("keep") => matches == Some(false),
            _ => false,
        };
        if drops {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}
