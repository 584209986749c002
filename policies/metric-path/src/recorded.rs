//! A series, followed through the rules that record it to those that are scraped.

use std::cell::Cell;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

use crate::MONITORING;
use crate::adapter::Rule;
use crate::chain::{Asked, Link, Of};
use crate::promql::{self, Expression, Series};
use crate::scrape::{Scrape, unselected};
use crate::set::{Object, Pods, Set};

/// By what the name of a series begins, and what its exporter's image is called.
const EXPORTERS: [(&str, &str); 8] = [
    ("elasticsearch_", "elasticsearch"),
    ("memcached_", "memcached"),
    ("mongodb_", "mongodb"),
    ("mysql_", "mysqld"),
    ("nginx_", "nginx"),
    ("pg_", "postgres"),
    ("rabbitmq_", "rabbitmq"),
    ("redis_", "redis"),
];

/// How many records are followed for a metric, one in the other.
const MOST_RECORDS: usize = 200;

/// The labels by which the adapter tells objects apart, each with the value that it must have, if that is known.
pub(crate) type Labels<'a> = Vec<(String, Option<&'a str>)>;

/// What a series is followed for.
pub(crate) struct Walk<'s, 'a> {
    pub(crate) set: &'s Set<'a>,
    /// The adapter's rule that takes it.
    pub(crate) rule: &'s Rule<'a>,
    /// Whether a record was met again on its own way.
    pub(crate) is_loop: Cell<bool>,
}

/// Follows a series through the rules that record it to those that are scraped, and gives what is broken.
pub(crate) fn recorded<'a>(
    walk: &Walk<'_, 'a>,
    series: &Series<'a>,
    labels: &Labels<'a>,
    (raw, links): (&mut Vec<Raw<'a>>, &mut Vec<Link>),
    (alternative, visited): (usize, &mut Vec<&'a str>),
) -> Result<Option<String>, Undecided> {
    let Walk { set, rule, .. } = walk;
    // By which name cannot be told; and so far nobody goes.
    if series.name.is_empty() || visited.len() >= MOST_RECORDS {
        return Ok(None);
    }
    // A record that is made of itself, or of another twice, is followed once.
    if visited.contains(&series.name) {
        walk.is_loop.set(true);
        return Ok(None);
    }
    let mut records = Vec::new();
    let mut unseen = Vec::new();
    for object in set.objects(MONITORING, "PrometheusRule", None)? {
        let in_rule = |undecided: Undecided| undecided.in_object("PrometheusRule", object.name);
        for record in records_of(object, series.name).map_err(in_rule)? {
            match unselected(set, object.field).map_err(in_rule)? {
                None => records.push(record),
                Some(broken) => unseen.push(format!("{}: {}", object.shown(), broken.sentence())),
            }
        }
    }
    if records.is_empty() {
        if !unseen.is_empty() {
            return Ok(Some(format!("must have its series recorded: {}", unseen.join(", "))));
        }
        if series.name.contains(':') {
            let message = "must have its series recorded";
            return Ok(Some(format!(
                "{message}: {} takes {}, and no PrometheusRule records it",
                rule.shown(),
                series.shown()
            )));
        }
        raw.push(Raw { series: series.clone(), is_its: !labels.is_empty(), alternative });
        return Ok(None);
    }
    visited.push(series.name);
    // Several rules may record it, each for an object of its own: one that fits is enough.
    let mut unfit = None;
    let mut fits = false;
    for (number, record) in records.iter().enumerate() {
        if let Some(message) = misfit(walk, record, series, labels)? {
            unfit.get_or_insert(message);
            continue;
        }
        fits = true;
        let names: Vec<String> = record.expression.series.iter().map(Series::shown).collect();
        links.push(Link::new(
            record.object.shown(),
            format!("records {} from {}", series.shown(), names.join(", ")),
        ));
        // What the rule itself says of its labels need not be told by the series that it is made of.
        let mut left = Labels::new();
        for (label, wanted) in labels {
            if !record.field.at("labels").key(set.arena.text(label)).is_set()? {
                left.push((label.clone(), *wanted));
            }
        }
        for inner in &record.expression.series {
            let alternative = alternative.wrapping_mul(256).wrapping_add(number * 16 + inner.alternative + 1);
            let broken =
                recorded(walk, inner, &left, (&mut *raw, &mut *links), (alternative, &mut *visited))?;
            if broken.is_some() {
                return Ok(broken);
            }
        }
    }
    Ok(unfit.filter(|_| !fits))
}

/// Why a record is not of the object that is asked for, or cannot be told to be.
fn misfit<'a>(
    walk: &Walk<'_, 'a>,
    record: &Record<'a>,
    series: &Series<'a>,
    labels: &Labels<'a>,
) -> Result<Option<String>, Undecided> {
    for (label, wanted) in labels {
        let said = record.field.at("labels").key(walk.set.arena.text(label)).str()?;
        match (said, wanted) {
            (Some(said), Some(wanted)) if said != *wanted => {
                return Ok(Some(format!(
                    "must be of {label} `{}`: {} records it of {label} `{}`",
                    excerpt(wanted),
                    record.object.shown(),
                    excerpt(said)
                )));
            }
            (None, _) if !record.expression.keeps(label) => {
                return Ok(Some(format!(
                    "must be told apart by the label `{label}`: {} aggregates it away in {}",
                    record.object.shown(),
                    series.shown()
                )));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A series that is scraped.
pub(crate) struct Raw<'a> {
    pub(crate) series: Series<'a>,
    /// Whether it is of the object that is asked for, and not anybody's.
    is_its: bool,
    /// Of the alternatives that an `or` parts.
    pub(crate) alternative: usize,
}

/// A rule that records a series.
struct Record<'a> {
    object: Object<'a>,
    field: Field<'a>,
    expression: Expression<'a>,
}

fn records_of<'a>(object: Object<'a>, name: &str) -> Result<Vec<Record<'a>>, Undecided> {
    let mut records = Vec::new();
    for group in object.field.at("spec.groups").items()? {
        for field in group.at("rules").items()? {
            if field.at("record").text()? == name {
                records.push(Record { object, field, expression: promql::read(field.at("expr").text()?) });
            }
        }
    }
    Ok(records)
}

impl Raw<'_> {
    /// Whether a port that is scraped may serve the series.
    pub(crate) fn is_from(&self, asked: &Asked<'_, '_>, scrape: &Scrape<'_>) -> bool {
        let Scrape { pods, container, service, .. } = scrape;
        // A known exporter has series of its own; whatever else may export any.
        let image = container.image.rsplit('/').next().unwrap_or_default();
        let exporter =
            EXPORTERS.iter().find(|(_, known)| image.contains(known) && image.contains("exporter"));
        let exports = match exporter {
            Some((prefix, _)) => self.series.name.starts_with(prefix) || self.is_of_every_process(),
            None => true,
        };
        let behind = match asked.of {
            Of::Object { kind: "Service", name }
                if self.series.value_of("namespace").is_none_or(|n| n == asked.namespace) =>
            {
                service.as_ref().is_some_and(|(service, _)| service.name == name)
            }
            _ => true,
        };
        self.may_be_of(asked, pods) && self.series.takes("container", container.name) && exports && behind
    }

    /// Whether the pods that are scaled must be among those that export it.
    pub(crate) fn is_of_target(&self, asked: &Asked<'_, '_>) -> bool {
        self.is_its && matches!(asked.of, Of::Pods)
    }

    /// Whether every process exports it of itself.
    fn is_of_every_process(&self) -> bool {
        ["go_", "process_"].iter().any(|prefix| self.series.name.starts_with(prefix))
    }

    /// Whether a part of the cluster itself exports it: a kubelet, kube-state-metrics, Prometheus.
    pub(crate) fn is_of_the_cluster(&self) -> bool {
        ["ALERTS", "container_", "kube_", "kubelet_", "machine_", "node_"]
            .iter()
            .any(|prefix| self.series.name.starts_with(prefix))
    }

    /// Whether pods may be those that export it, before it is looked at what is scraped of them.
    pub(crate) fn may_be_of(&self, asked: &Asked<'_, '_>, pods: &Pods<'_>) -> bool {
        let is_target = |target: &Pods<'_>| target.name == pods.name && target.kind == pods.kind;
        let is_in_namespace = match self.series.value_of("namespace") {
            None if self.is_its => pods.namespace == asked.namespace,
            _ => self.series.takes("namespace", pods.namespace),
        };
        is_in_namespace && (!self.is_of_target(asked) || asked.target.is_none_or(is_target))
    }
}
