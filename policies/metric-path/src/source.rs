//! From the series that are counted to a port that is scraped, and that exports them.

use policy_core::Undecided;
use policy_core::path::excerpt;

use crate::broken::Broken;
use crate::chain::{Asked, Link, Way};
use crate::dropped;
use crate::recorded::Raw;
use crate::scrape::Scrape;
use crate::set::{Object, Set};
use crate::settings::ControlId;

/// How many monitors that are broken are named.
const MOST_REASONS: usize = 3;

/// From the series to a port that is scraped: of the pods that are scaled, or of whoever exports it.
pub(crate) fn find<'a>(
    set: &Set<'a>,
    asked: &Asked<'_, 'a>,
    raw: &[Raw<'a>],
    way: &mut Way<'a>,
) -> Result<(), Undecided> {
    // What the cluster's own parts export says nothing of who exports it here.
    if let Some(raw) = raw.iter().find(|raw| raw.is_of_the_cluster()) {
        way.note =
            Some(format!("is not followed further: {} comes from the cluster itself", raw.series.shown()));
        return Ok(());
    }
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    let narrow = set.narrowed(|pods| raw.iter().any(|raw| raw.may_be_of(asked, pods)))?;
    for monitor in narrow.monitors()? {
        for scrape in narrow.found(&monitor)?.scrapes {
            for one in raw.iter().filter(|raw| raw.is_from(asked, &scrape)) {
                match dropped::by(scrape.endpoint, one.series.name)? {
                    None => found.push((one, monitor, scrape.clone())),
                    Some(rule) => reasons.push(format!("{}: {} drops it", monitor.shown(), rule.path())),
                }
            }
        }
    }
    let of = |raw: &Raw<'a>| found.iter().find(|(one, ..)| std::ptr::eq(*one, raw));
    let mut alternatives: Vec<usize> = raw.iter().map(|raw| raw.alternative).collect();
    alternatives.dedup();
    // Of those that an `or` parts one is enough, with all that it is made of.
    for alternative in alternatives {
        let parts = || raw.iter().filter(|raw| raw.alternative == alternative);
        if let Some(first) = parts().next()
            && parts().all(|raw| of(raw).is_some())
            && let Some((_, monitor, scrape)) = of(first)
        {
            way.links.extend(links(first, monitor, scrape));
            return Ok(());
        }
    }
    let raw: Vec<&Raw<'a>> = raw.iter().filter(|raw| of(raw).is_none()).collect();
    // An expression of the time, or of nothing, needs nobody.
    if raw.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = raw.iter().map(|raw| raw.series.shown()).collect();
    let who = match asked.target {
        Some(pods) if raw.iter().any(|raw| raw.is_of_target(asked)) => pods.shown(),
        _ => "whoever exports it".to_owned(),
    };
    way.links.push(Link::new(who.as_str(), format!("is to export {}", names.join(", "))));
    // A monitor that is broken is the likely reason.
    let namespaces: Vec<&str> =
        raw.iter().map(|raw| raw.series.value_of("namespace").unwrap_or(asked.namespace)).collect();
    for monitor in set.monitors()?.iter().filter(|monitor| namespaces.contains(&monitor.namespace)) {
        for broken in set.found(monitor)?.broken {
            reasons.push(format!("{}: {}", monitor.shown(), broken.sentence()));
        }
        if reasons.len() >= MOST_REASONS {
            break;
        }
    }
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let message = format!("must be exported: no monitor has {} scraped from {who}{why}", names.join(", "));
    way.broken = Some(Broken::new(ControlId::Source, asked.field, message));
    Ok(())
}

fn links(raw: &Raw<'_>, monitor: &Object<'_>, scrape: &Scrape<'_>) -> Vec<Link> {
    let exporter = if scrape.container.name.is_empty() { "a container" } else { scrape.container.name };
    let mut links = vec![Link::new(
        scrape.pods.shown(),
        format!(
            "exports {} from container `{}`, port {}",
            raw.series.shown(),
            excerpt(exporter),
            scrape.number
        ),
    )];
    if let Some((service, port)) = &scrape.service {
        let says = match port.at("name").text() {
            Ok(port) if !port.is_empty() => format!("leads there from its port `{}`", excerpt(port)),
            _ => "leads to its pods".to_owned(),
        };
        links.push(Link::new(service.shown(), says));
    }
    links.push(Link::new(monitor.shown(), "has it scraped"));
    let through = match scrape.through.as_slice() {
        [] => "nothing isolates either side".to_owned(),
        names => format!("let Prometheus reach it: {}", names.join(", ")),
    };
    links.push(Link::new("NetworkPolicies", through));
    links
}
