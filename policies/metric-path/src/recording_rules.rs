//! Follows a series through its recording rules to the scraped series that it is computed from.

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};
use policy_kubernetes::exporters::{is_cluster_series, is_process_series, series_of_image};
use policy_kubernetes::inventory::{ListedObject, MONITORING, PodGroup};
use policy_kubernetes::monitor::{Scrape, unselected};
use policy_promql::{Expression, Series};

use crate::MetricContext;
use crate::adapter::AdapterRule;
use crate::metric::{CustomMetric, Link, Subject};

/// The maximum number of recorded series that are followed for one series of the query.
const MOST_RECORDS: usize = 200;

/// The labels by which the adapter identifies an object, each with its required value if that is known.
pub(crate) type ObjectLabels<'a> = Vec<(String, Option<&'a str>)>;

/// The alternative that a series belongs to: the choices among operands of `or` and among recording rules that lead to it.
pub(crate) type Alternative = Vec<usize>;

/// Follows the series of one adapter rule.
pub(crate) struct SeriesResolver<'s, 'a> {
    set: &'s MetricContext<'a>,
    rule: &'s AdapterRule<'a>,
    /// The scraped series.
    pub(crate) raw: Vec<RawSeries<'a>>,
    /// The recording rules that were followed.
    pub(crate) links: Vec<Link>,
    /// Whether a recording rule depends on its own result.
    pub(crate) is_loop: bool,
    visited: Vec<&'a str>,
}

/// A scraped series.
pub(crate) struct RawSeries<'a> {
    pub(crate) series: Series<'a>,
    /// Whether it belongs to the object that the metric describes.
    is_of_object: bool,
    pub(crate) alternative: Alternative,
}

/// A recording rule.
struct RecordingRule<'a> {
    object: ListedObject<'a>,
    field: Field<'a>,
    expression: Expression<'a>,
}

impl<'s, 'a> SeriesResolver<'s, 'a> {
    pub(crate) fn new(set: &'s MetricContext<'a>, rule: &'s AdapterRule<'a>) -> Self {
        SeriesResolver { set, rule, raw: Vec::new(), links: Vec::new(), is_loop: false, visited: Vec::new() }
    }

    /// Follows a series of the adapter's query. Returns a message if a link is broken.
    pub(crate) fn resolve_from(
        &mut self,
        series: &Series<'a>,
        labels: &ObjectLabels<'a>,
        alternative: &Alternative,
    ) -> Result<Option<String>, Undecided> {
        self.visited.clear();
        self.resolve(series, labels, alternative)
    }

    fn resolve(
        &mut self,
        series: &Series<'a>,
        labels: &ObjectLabels<'a>,
        alternative: &Alternative,
    ) -> Result<Option<String>, Undecided> {
        // A series without a name cannot be followed.
        if series.name.is_empty() || self.visited.len() >= MOST_RECORDS {
            return Ok(None);
        }
        // A series that appears again, for example in a rule that depends on itself, is followed only once.
        if self.visited.contains(&series.name) {
            self.is_loop = true;
            return Ok(None);
        }
        let records = match self.records_of(series)? {
            RecordingRules::Selected(records) => records,
            RecordingRules::Unselected(message) => return Ok(Some(message)),
            RecordingRules::None if series.name.contains(':') => {
                return Ok(Some(format!(
                    "must come from a recorded series: {} selects {}, and no PrometheusRule records it",
                    self.rule.display(),
                    series.display()
                )));
            }
            RecordingRules::None => {
                let (series, is_of_object) = (series.clone(), !labels.is_empty());
                self.raw.push(RawSeries { series, is_of_object, alternative: alternative.clone() });
                return Ok(None);
            }
        };
        self.visited.push(series.name);
        // Several rules may record the series, each for another object. One that matches is enough.
        let (mut misfit, mut fits) = (None, false);
        for (number, record) in records.iter().enumerate() {
            if let Some(message) = self.misfit(record, series, labels)? {
                misfit.get_or_insert(message);
                continue;
            }
            fits = true;
            if let Some(message) =
                self.follow(record, series, labels, &[alternative, &[number][..]].concat())?
            {
                return Ok(Some(message));
            }
        }
        Ok(misfit.filter(|_| !fits))
    }

    /// Follows the series in the expression of a recording rule.
    fn follow(
        &mut self,
        record: &RecordingRule<'a>,
        series: &Series<'a>,
        labels: &ObjectLabels<'a>,
        alternative: &[usize],
    ) -> Result<Option<String>, Undecided> {
        let names: Vec<String> = record.expression.series.iter().map(Series::display).collect();
        self.links.push(Link::new(
            record.object.display(),
            format!("records {} from {}", series.display(), names.join(", ")),
        ));
        // Labels that the rule itself sets need not exist on the series in its expression.
        let mut left = ObjectLabels::new();
        for (label, value) in labels {
            if !record.field.at("labels").key(self.set.inventory.arena.text(label)).is_set()? {
                left.push((label.clone(), *value));
            }
        }
        for inner in &record.expression.series {
            let alternative = [alternative, &[inner.alternative]].concat();
            let broken = self.resolve(inner, &left, &alternative)?;
            if broken.is_some() {
                return Ok(broken);
            }
        }
        Ok(None)
    }

    /// The reason why a recording rule does not match: it is for another object, or it drops a label that identifies the object.
    fn misfit(
        &self,
        record: &RecordingRule<'a>,
        series: &Series<'a>,
        labels: &ObjectLabels<'a>,
    ) -> Result<Option<String>, Undecided> {
        for (label, value) in labels {
            let set = record.field.at("labels").key(self.set.inventory.arena.text(label)).str()?;
            match (set, value) {
                (Some(set), Some(value)) if set != *value => {
                    return Ok(Some(format!(
                        "must have {label} `{}`: {} records it with {label} `{}`",
                        excerpt(value),
                        record.object.display(),
                        excerpt(set)
                    )));
                }
                (None, _) if !record.expression.keeps(label) => {
                    return Ok(Some(format!(
                        "must keep the label `{label}`: {} aggregates it away in {}",
                        record.object.display(),
                        series.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Finds the recording rules of a series.
    fn records_of(&self, series: &Series<'a>) -> Result<RecordingRules<'a>, Undecided> {
        let (mut records, mut unseen) = (Vec::new(), Vec::new());
        for object in self.set.inventory.objects(MONITORING, "PrometheusRule", None)? {
            let in_rule = |undecided: Undecided| undecided.in_object("PrometheusRule", object.name);
            for record in read_records(object, series.name).map_err(in_rule)? {
                match unselected(&self.set.settings.prometheus, object.field).map_err(in_rule)? {
                    None => records.push(record),
                    Some(broken) => unseen.push(format!("{}: {}", object.display(), broken.sentence())),
                }
            }
        }
        Ok(match (records.is_empty(), unseen.is_empty()) {
            (false, _) => RecordingRules::Selected(records),
            (true, true) => RecordingRules::None,
            (true, false) => {
                RecordingRules::Unselected(format!("must come from a recorded series: {}", unseen.join(", ")))
            }
        })
    }
}

/// The recording rules of a series.
enum RecordingRules<'a> {
    Selected(Vec<RecordingRule<'a>>),
    /// All of them are in PrometheusRules that Prometheus does not select; contains the message.
    Unselected(String),
    None,
}

fn read_records<'a>(object: ListedObject<'a>, name: &str) -> Result<Vec<RecordingRule<'a>>, Undecided> {
    let mut records = Vec::new();
    for group in object.field.at("spec.groups").items()? {
        for field in group.at("rules").items()? {
            if field.at("record").text()? == name {
                let expression = policy_promql::read(field.at("expr").text()?);
                records.push(RecordingRule { object, field, expression });
            }
        }
    }
    Ok(records)
}

impl RawSeries<'_> {
    /// Whether a scraped port may serve the series. A known exporter has its own series; any other container may export any
    /// series.
    pub(crate) fn is_from(&self, metric: &CustomMetric<'_, '_>, scrape: &Scrape<'_, '_>) -> bool {
        let Scrape { pods, container, service, .. } = scrape;
        let is_exported = match series_of_image(container.image) {
            Some(prefixes) => {
                is_process_series(self.series.name)
                    || prefixes.iter().any(|prefix| self.series.name.starts_with(prefix))
            }
            None => true,
        };
        let is_behind = match metric.subject {
            Subject::Object { kind: "Service", name }
                if self.series.value_of("namespace").is_none_or(|n| n == metric.namespace) =>
            {
                service.as_ref().is_some_and(|(service, _)| service.name == name)
            }
            _ => true,
        };
        self.may_be_of(metric, pods)
            && self.series.matches("container", container.name)
            && is_exported
            && is_behind
    }

    /// Whether only the scaled pods can export the series.
    pub(crate) fn is_of_target(&self, metric: &CustomMetric<'_, '_>) -> bool {
        self.is_of_object && matches!(metric.subject, Subject::Pods)
    }

    /// Whether a component of the cluster exports the series.
    pub(crate) fn is_of_cluster(&self) -> bool {
        is_cluster_series(self.series.name)
    }

    /// Whether these pods may export the series, regardless of which of their ports are scraped.
    pub(crate) fn may_be_of(&self, metric: &CustomMetric<'_, '_>, pods: &PodGroup<'_>) -> bool {
        let is_target = |target: &PodGroup<'_>| target.name == pods.name && target.kind == pods.kind;
        let is_in_namespace = match self.series.value_of("namespace") {
            None if self.is_of_object => pods.namespace == metric.namespace,
            _ => self.series.matches("namespace", pods.namespace),
        };
        is_in_namespace && (!self.is_of_target(metric) || metric.target.is_none_or(is_target))
    }
}
