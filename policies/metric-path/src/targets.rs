//! The scrape targets of a manifest set: every port that a monitor selects and Prometheus can reach.

use policy_core::path::Segment;
use policy_core::{Arena, Cluster, Undecided};
use policy_kubernetes::monitor;

use crate::MetricContext;
use crate::settings::MetricPath;

/// A scraped port of a workload. Prometheus has one target for each pod of the workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrapeTarget {
    /// The job, as prometheus-operator names it: `serviceMonitor/shop/api/0`.
    pub job: String,
    /// The kind of the workload.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The number of the port.
    pub number: u16,
}

/// All targets in a manifest set that Prometheus can reach.
///
/// # Errors
/// An object is not valid.
pub fn targets<'a>(
    settings: &'a MetricPath,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
) -> Result<Vec<ScrapeTarget>, Undecided> {
    let set = MetricContext::new(settings, cluster, arena, "default");
    let mut targets = Vec::new();
    for listed in set.inventory.monitors()? {
        let kind = if listed.kind == "PodMonitor" { "podMonitor" } else { "serviceMonitor" };
        let targets_of = monitor::targets(&set.inventory, &settings.prometheus, &listed)
            .map_err(|undecided| undecided.in_object(listed.kind, listed.name))?;
        for scrape in targets_of.scrapes {
            let path = scrape.endpoint.path();
            let number = path.0.iter().find_map(|segment| match segment {
                Segment::Index(number) => Some(*number),
                Segment::Key(_) => None,
            });
            targets.push(ScrapeTarget {
                job: format!("{kind}/{}/{}/{}", listed.namespace, listed.name, number.unwrap_or_default()),
                kind: scrape.pods.kind.to_owned(),
                namespace: scrape.pods.namespace.to_owned(),
                name: scrape.pods.name.to_owned(),
                number: scrape.number,
            });
        }
    }
    targets.sort();
    Ok(targets)
}
