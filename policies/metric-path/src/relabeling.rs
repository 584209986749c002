//! The series that a monitor has Prometheus drop from what it scrapes (`metricRelabelings`), by name.
//!
//! Source: prometheus.io/docs/prometheus/latest/configuration/configuration, `relabel_config`: the regular expression is anchored
//! at both ends, and is `(.*)` if there is none.

use policy_core::{Field, Undecided};
use policy_promql::regex;

/// Series about the scrape itself, which no relabeling applies to.
const OF_SCRAPE: [&str; 5] = [
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "up",
];

/// The rule among an endpoint's `metricRelabelings` that drops a series of that name, if there is one. A rule that reads other
/// labels too, or whose expression is not understood, is taken to drop nothing.
pub(crate) fn dropping_rule<'a>(endpoint: Field<'a>, series: &str) -> Result<Option<Field<'a>>, Undecided> {
    if OF_SCRAPE.contains(&series) {
        return Ok(None);
    }
    for rule in endpoint.at("metricRelabelings").items()? {
        // From here on the series may have another name than the one that it was exported under.
        if rule.at("targetLabel").text()? == "__name__" {
            return Ok(None);
        }
        let labels = rule.at("sourceLabels").items()?.map(Field::text).collect::<Result<Vec<_>, _>>()?;
        let value = match labels.as_slice() {
            [] => "",
            ["__name__"] => series,
            _ => continue,
        };
        // prometheus-operator leaves an empty expression out.
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
