//! Finds the container that exports a scraped series.

use policy_core::Undecided;
use policy_core::path::excerpt;
use policy_kubernetes::inventory::{Inventory, ListedObject};
use policy_kubernetes::monitor::{self, Scrape, ScrapeTargets};

use crate::MetricContext;
use crate::finding::LinkFinding;
use crate::metric::{CustomMetric, Link, MetricTrace};
use crate::recording_rules::{Alternative, RawSeries};
use crate::relabeling;
use crate::settings::{ControlId, MetricPath};

/// If a message has this many reasons, it does not name more broken monitors.
const MOST_REASONS: usize = 3;

/// A series, and the port from which it is scraped.
struct ScrapedSeries<'s, 'a> {
    raw: &'s RawSeries<'a>,
    monitor: ListedObject<'a>,
    scrape: Scrape<'s, 'a>,
}

/// Finds a scraped port that exports the series: of the scaled pods, or of any exporter.
pub(crate) fn find<'a>(
    set: &MetricContext<'a>,
    metric: &CustomMetric<'_, 'a>,
    raw: &[RawSeries<'a>],
    path: &mut MetricTrace<'a>,
) -> Result<(), Undecided> {
    // The manifest set does not contain the components of the cluster that export such series.
    if let Some(raw) = raw.iter().find(|raw| raw.is_of_cluster()) {
        path.note =
            Some(format!("is not followed further: a cluster component exports {}", raw.series.display()));
        return Ok(());
    }
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    let narrow = set.inventory.narrowed(|pods| raw.iter().any(|raw| raw.may_be_of(metric, pods)))?;
    for monitor in narrow.monitors()? {
        for scrape in targets(&narrow, set.settings, &monitor)?.scrapes {
            for raw in raw.iter().filter(|raw| raw.is_from(metric, &scrape)) {
                match relabeling::dropping_rule(scrape.endpoint, raw.series.name)? {
                    None => found.push(ScrapedSeries { raw, monitor, scrape: scrape.clone() }),
                    Some(rule) => {
                        reasons.push(format!("{}: {} drops it", monitor.display(), rule.path()));
                    }
                }
            }
        }
    }
    let scraped = |raw: &RawSeries<'a>| found.iter().find(|scraped| std::ptr::eq(scraped.raw, raw));
    let mut alternatives: Vec<&Alternative> = raw.iter().map(|raw| &raw.alternative).collect();
    alternatives.dedup();
    // One alternative is enough if all its series are scraped.
    for alternative in alternatives {
        let parts = || raw.iter().filter(|raw| raw.alternative == *alternative);
        if parts().all(|raw| scraped(raw).is_some())
            && let Some(first) = parts().next().and_then(scraped)
        {
            path.links.extend(links(first));
            return Ok(());
        }
    }
    let missing: Vec<&RawSeries<'a>> = raw.iter().filter(|raw| scraped(raw).is_none()).collect();
    // An expression such as `time()` needs no series.
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|raw| raw.series.display()).collect();
    let exporter = match metric.target {
        Some(pods) if missing.iter().any(|raw| raw.is_of_target(metric)) => pods.display(),
        _ => "an exporter".to_owned(),
    };
    path.links.push(Link::new(exporter.as_str(), format!("should export {}", names.join(", "))));
    reasons.extend(broken_monitors(set, metric, &missing, reasons.len())?);
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let message =
        format!("must be exported: no monitor scrapes {} from {exporter}{reasons}", names.join(", "));
    path.finding = Some(LinkFinding::new(ControlId::Source, metric.field, message));
    Ok(())
}

/// The targets of a monitor. Errors name the monitor, because it is not the object that is evaluated.
fn targets<'s, 'a>(
    inventory: &'s Inventory<'a>,
    settings: &MetricPath,
    monitor: &ListedObject<'a>,
) -> Result<ScrapeTargets<'s, 'a>, Undecided> {
    monitor::targets(inventory, &settings.prometheus, monitor)
        .map_err(|undecided| undecided.in_object(monitor.kind, monitor.name))
}

/// Broken monitors in the namespaces of the missing series, as likely reasons. `known` is the number of reasons found before.
fn broken_monitors<'a>(
    set: &MetricContext<'a>,
    metric: &CustomMetric<'_, 'a>,
    missing: &[&RawSeries<'a>],
    known: usize,
) -> Result<Vec<String>, Undecided> {
    let namespace = |raw: &&RawSeries<'a>| raw.series.value_of("namespace").unwrap_or(metric.namespace);
    let namespaces: Vec<&str> = missing.iter().map(namespace).collect();
    let mut reasons = Vec::new();
    let monitors = set.inventory.monitors()?;
    for monitor in monitors.iter().filter(|monitor| namespaces.contains(&monitor.namespace)) {
        for broken in targets(&set.inventory, set.settings, monitor)?.broken {
            reasons.push(format!("{}: {}", monitor.display(), broken.sentence()));
        }
        if known + reasons.len() >= MOST_REASONS {
            break;
        }
    }
    Ok(reasons)
}

fn links(scraped: &ScrapedSeries<'_, '_>) -> Vec<Link> {
    let ScrapedSeries { raw, monitor, scrape } = scraped;
    let container = if scrape.container.name.is_empty() { "a container" } else { scrape.container.name };
    let mut links = vec![Link::new(
        scrape.pods.display(),
        format!(
            "exports {} from container `{}`, port {}",
            raw.series.display(),
            excerpt(container),
            scrape.number
        ),
    )];
    if let Some((service, port)) = &scrape.service {
        let role = match port.at("name").text() {
            Ok(port) if !port.is_empty() => format!("forwards its port `{}` to these pods", excerpt(port)),
            _ => "selects these pods".to_owned(),
        };
        links.push(Link::new(service.display(), role));
    }
    links.push(Link::new(monitor.display(), "makes Prometheus scrape it"));
    let allowed = match scrape.allowed_by.as_slice() {
        [] => "no policy isolates either side".to_owned(),
        names => format!("allow Prometheus to reach it: {}", names.join(", ")),
    };
    links.push(Link::new("NetworkPolicies", allowed));
    links
}
