//! Follows a custom metric: the rule of the adapter, recording rules, and the container that exports the series.

use policy_core::Undecided;

use crate::MetricContext;
use crate::adapter::{self, AdapterQuery, AdapterRule, Metric};
use crate::adapter_query::MATCHED;
use crate::metric::{CustomMetric, Link, MetricTrace, Subject};
use crate::recording_rules::{ObjectLabels, SeriesResolver};
use crate::series_source;
use crate::settings::ControlId;

/// Follows a custom metric.
///
/// # Errors
/// An object is not as Kubernetes has it.
pub(crate) fn follow<'a>(
    set: &MetricContext<'a>,
    metric: &CustomMetric<'_, 'a>,
) -> Result<MetricTrace<'a>, Undecided> {
    let mut path = MetricTrace::default();
    let list = if matches!(metric.subject, Subject::External) { "externalRules" } else { "rules" };
    let rules = adapter::rules(set, list)?;
    let Some(rule) = rule_for(metric, &rules)? else {
        let open: Vec<String> =
            rules.iter().filter(|rule| rule.metric == Metric::Unknown).map(AdapterRule::display).collect();
        if !open.is_empty() {
            return Ok(path.not_followed(format!(
                "is not followed: {} may make it, by a regular expression",
                open.join(", ")
            )));
        }
        let made: Vec<String> = rules.iter().filter_map(AdapterRule::metric_display).collect();
        let made = if made.is_empty() { "none".to_owned() } else { made.join(", ") };
        let message = format!("must be made by a rule of prometheus-adapter, which makes {made}");
        return Ok(path.broken(ControlId::AdapterRule, metric, message));
    };
    path.links.push(Link::new(rule.config.display(), format!("makes it of {}", rule.series_display())));
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
        // A series that the query does not select for the object in question may be of any object.
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
        let message = "must come from series that are scraped: its record is made of itself";
        return Ok(path.broken(ControlId::Series, metric, message));
    }
    series_source::find(set, metric, &resolver.raw, &mut path)?;
    Ok(path)
}

/// The rule that makes a metric; of several the last that maps the object to a label, because the adapter keeps the last.
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
    /// The rule has no label for a resource: a message.
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
                "must be of a {resource}: {} does not say which label names it",
                rule.display()
            )));
        };
        labels.push((label.into_owned(), value));
    }
    Ok(LabelMapping::Known(labels))
}
