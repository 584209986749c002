//! A series, followed through the rules that record it to those that are scraped.

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

use crate::MONITORING;
use crate::adapter::Rule;
use crate::chain::{Asked, Link, Of};
use crate::promql::{self, Expression, Series};
use crate::scrape::{Scrape, unselected};
use crate::set::{Object, Pods, Set};

/// How many recorded series may be made of each other.
pub(crate) const DEEPEST: usize = 8;

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

/// The labels by which the adapter tells objects apart, each with the value that it must have, if that is known.
pub(crate) type Labels<'a> = Vec<(String, Option<&'a str>)>;

/// What a series is followed for.
pub(crate) struct Walk<'s, 'a> {
    pub(crate) set: &'s Set<'a>,
    pub(crate) asked: &'s Asked<'s, 'a>,
    /// The adapter's rule that takes it.
    pub(crate) rule: &'s Rule<'a>,
}

/// Follows a series through the rules that record it to those that are scraped, and gives what is broken.
pub(crate) fn recorded<'a>(
    walk: &Walk<'_, 'a>,
    series: &Series<'a>,
    labels: &Labels<'a>,
    (raw, links): (&mut Vec<Raw<'a>>, &mut Vec<Link>),
    deeper: usize,
) -> Result<Option<String>, Undecided> {
    let Walk { set, asked, rule } = walk;
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
        raw.push(Raw { series: series.clone(), of_target: matches!(asked.of, Of::Pods) });
        return Ok(None);
    }
    for record in &records {
        let names: Vec<String> = record.expression.series.iter().map(Series::shown).collect();
        links.push(Link::new(
            record.object.shown(),
            format!("records {} from {}", series.shown(), names.join(", ")),
        ));
        for (label, wanted) in labels {
            let said = record.field.at("labels").key(set.arena.text(label)).str()?;
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
        // A label that the rule sets says nothing of where the series it is made of come from.
        let fixed = record.field.at("labels").members()?.len() > 0;
        for inner in &record.expression.series {
            let is_recorded = inner.name.contains(':');
            if is_recorded && deeper > 0 {
                let broken = recorded(walk, inner, &Labels::new(), (&mut *raw, &mut *links), deeper - 1)?;
                if broken.is_some() {
                    return Ok(broken);
                }
            } else {
                let of_target = !fixed && matches!(asked.of, Of::Pods);
                raw.push(Raw { series: inner.clone(), of_target });
            }
        }
    }
    Ok(None)
}

/// A series that is scraped.
pub(crate) struct Raw<'a> {
    pub(crate) series: Series<'a>,
    /// Whether the pods that are scaled must be among those that export it.
    pub(crate) of_target: bool,
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
        let namespace = self.series.value_of("namespace").unwrap_or(asked.namespace);
        let exports = match EXPORTERS.iter().find(|(prefix, _)| self.series.name.starts_with(prefix)) {
            Some((_, image)) => container.image.contains(image),
            None => self.is_of_every_process() || !container.image.contains("exporter"),
        };
        let is_target = |target: &Pods<'_>| target.name == pods.name && target.kind == pods.kind;
        let behind = match asked.of {
            Of::Object { kind: "Service", name }
                if self.series.value_of("namespace").is_none_or(|n| n == asked.namespace) =>
            {
                service.as_ref().is_some_and(|(service, _)| service.name == name)
            }
            _ => true,
        };
        pods.namespace == namespace
            && self.series.takes("container", container.name)
            && exports
            && (!self.of_target || asked.target.is_none_or(is_target))
            && behind
    }

    /// Whether every process exports it of itself.
    fn is_of_every_process(&self) -> bool {
        ["go_", "process_"].iter().any(|prefix| self.series.name.starts_with(prefix))
    }
}
