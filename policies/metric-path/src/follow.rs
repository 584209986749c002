//! Follows a custom metric through the adapter rule and the recording rules to the container that exports its series.

use policy_core::Undecided;

use crate::MetricContext;
use crate::adapter::{self, AdapterQuery, AdapterRule, Metric};
use crate::adapter_query::MATCHED;
use crate::metric::{CustomMetric, Link, MetricTrace, Subject};
use crate::recording_rules::{ObjectLabels, SeriesResolver};
use crate::series_source;
use crate::settings::ControlId;

/// Follows a custom metric to its source.
///
/// # Errors
/// An object is not valid.
pub(crate) fn follow<'a>(
    set: &MetricContext<'a>,
    metric: &CustomMetric<'_, 'a>,
) -> Result<MetricTrace<'a>, Undecided> {
    let mut path = MetricTrace::default();
    let list = if matches!(metric.subject, Subject::External) { "externalRules" } else { "rules" };
    let rules = adapter::rules(set, list)?;
    let Some(rule) = rule_for(metric, &rules)? else {
        return Ok(without_rule(path, metric, &rules));
    };
    path.links.push(Link::new(rule.config.display(), format!("computes it from {}", rule.series_display())));
    let labels = match object_labels(metric, rule)? {
        LabelMapping::Known(labels) => labels,
        LabelMapping::Missing(message) => return Ok(path.broken(ControlId::AdapterRule, metric, message)),
    };
    let grouped_by = labels.last().map_or("", |(label, _)| label);
    let query = rule.query(grouped_by, set.inventory.arena)?;
    if let AdapterQuery::Broken(message) = query {
        return Ok(path.broken(ControlId::AdapterRule, metric, message));
    }
    let Some(series) = &rule.series else {
        return Ok(path.not_followed(format!(
            "is not followed further: {} selects series by a regular expression",
            rule.display()
        )));
    };
    let all = match query {
        AdapterQuery::Expression(expression) => expression.series,
        _ => vec![series.clone()],
    };
    let mut resolver = SeriesResolver::new(set, rule);
    for one in all {
        let one = if one.name == series.name { one.and(series) } else { one };
        // A series without the matchers of the described object may come from any object.
        let is_of_object = one.name == series.name || one.value_of(MATCHED).is_some();
        let labels = if is_of_object { labels.clone() } else { ObjectLabels::new() };
        let alternative = vec![one.alternative];
        if let Some(message) = resolver.resolve_from(&one, &labels, &alternative)? {
            path.links.append(&mut resolver.links);
            return Ok(path.broken(ControlId::Series, metric, message));
        }
    }
    path.links.append(&mut resolver.links);
    if resolver.raw.is_empty() && resolver.is_loop {
        let message = "must come from scraped series: its recording rule depends only on itself";
        return Ok(path.broken(ControlId::Series, metric, message));
    }
    series_source::find(set, metric, &resolver.raw, &mut path)?;
    Ok(path)
}

/// The trace of a metric that no rule provides by name.
fn without_rule<'a>(
    path: MetricTrace<'a>,
    metric: &CustomMetric<'_, 'a>,
    rules: &[AdapterRule<'a>],
) -> MetricTrace<'a> {
    let open: Vec<String> =
        rules.iter().filter(|rule| rule.metric == Metric::Unknown).map(AdapterRule::display).collect();
    if !open.is_empty() {
        let open = open.join(", ");
        let message =
            format!("is not followed: {open} may provide it from series selected by a regular expression");
        return path.not_followed(message);
    }
    let provided: Vec<String> = rules.iter().filter_map(AdapterRule::metric_display).collect();
    let provided = if provided.is_empty() { "none" } else { &provided.join(", ") };
    let message = format!("must be provided by a rule of prometheus-adapter, which provides {provided}");
    path.broken(ControlId::AdapterRule, metric, message)
}

/// The rule that provides a metric. Of several, the last one that maps the object to a label, because the adapter uses the last.
fn rule_for<'r, 'a>(
    metric: &CustomMetric<'_, 'a>,
    rules: &'r [AdapterRule<'a>],
) -> Result<Option<&'r AdapterRule<'a>>, Undecided> {
    let (mut mapped, mut first) = (None, None);
    for rule in rules.iter().filter(|rule| rule.makes(metric.name)) {
        first = first.or(Some(rule));
        if matches!(object_labels(metric, rule)?, LabelMapping::Known(_)) {
            mapped = Some(rule);
        }
    }
    Ok(mapped.or(first))
}

/// The labels by which a rule identifies the object of a metric.
enum LabelMapping<'a> {
    Known(ObjectLabels<'a>),
    /// The rule has no label for a resource; contains the message of the finding.
    Missing(String),
}

fn object_labels<'a>(
    metric: &CustomMetric<'_, 'a>,
    rule: &AdapterRule<'a>,
) -> Result<LabelMapping<'a>, Undecided> {
    let own = match metric.subject {
        Subject::External => return Ok(LabelMapping::Known(Vec::new())),
        Subject::Pods => ("pod".to_owned(), None),
        Subject::Object { kind, name } => (kind.to_ascii_lowercase(), Some(name)),
    };
    let mut labels = Vec::new();
    for (resource, value) in [("namespace".to_owned(), Some(metric.namespace)), own] {
        let Some(label) = rule.label_of(&resource)? else {
            return Ok(LabelMapping::Missing(format!(
                "must belong to a {resource}: {} does not map a label to it",
                rule.display()
            )));
        };
        labels.push((label.into_owned(), value));
    }
    Ok(LabelMapping::Known(labels))
}
