//! What a set of manifests has scraped: every port that a monitor leads to.

use policy_core::path::Segment;
use policy_core::{Arena, Cluster, Undecided};

use crate::set::Set;
use crate::settings::MetricPath;

/// A port of a workload's pods that is scraped: one target for each of its pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// As Prometheus' operator calls the job: `serviceMonitor/shop/api/0`.
    pub job: String,
    /// The workload's kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port's number.
    pub number: u16,
}

/// All targets of a set; what is not reached is none.
///
/// # Errors
/// An object is not as Kubernetes has it.
pub fn targets<'a>(
    settings: &'a MetricPath,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
) -> Result<Vec<Target>, Undecided> {
    let set = Set::of(settings, arena, cluster, "default");
    let mut targets = Vec::new();
    for monitor in set.monitors()? {
        let found = set.found(&monitor)?;
        let kind = if monitor.kind == "PodMonitor" { "podMonitor" } else { "serviceMonitor" };
        for scrape in &found.scrapes {
            let path = scrape.endpoint.path();
            let number = path.0.iter().find_map(|segment| match segment {
                Segment::Index(number) => Some(*number),
                Segment::Key(_) => None,
            });
            let (namespace, name) = (monitor.namespace, monitor.name);
            targets.push(Target {
                job: format!("{kind}/{namespace}/{name}/{}", number.unwrap_or_default()),
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
