//! ServiceMonitors and PodMonitors: which ports of which pods Prometheus scrapes, as prometheus-operator resolves them, or why it
//! does not.
//!
//! Source: github.com/prometheus-operator/prometheus-operator, `Documentation/api-reference/api.md`.

mod resolver;

use policy_core::{Field, Undecided};

use crate::inventory::{Inventory, ListedObject, PodGroup, RunningContainer};
pub use crate::reachability::Prometheus;
use crate::service::Service;
use resolver::MonitorResolver;

/// A link between Prometheus and a target that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorLink {
    /// Prometheus selects the monitor, and the monitor selects something.
    Selection,
    /// The port has the same name at both ends.
    Port,
    /// NetworkPolicies let Prometheus reach the port.
    NetworkPolicy,
}

/// A broken link, and the field of the monitor at which it was found.
#[derive(Clone, Debug)]
pub struct BrokenLink<'a> {
    /// Which link.
    pub link: MonitorLink,
    /// The field of the monitor.
    pub field: Field<'a>,
    /// What must hold.
    pub message: String,
}

impl BrokenLink<'_> {
    /// The field and the message, for a message about another object.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.field.path(), self.message)
    }
}

/// What a monitor leads to.
#[derive(Default)]
pub struct ScrapeTargets<'s, 'a> {
    /// The ports that are scraped.
    pub scrapes: Vec<Scrape<'s, 'a>>,
    /// The ports that would be scraped, and that NetworkPolicies keep out of Prometheus' reach.
    pub unreachable: Vec<Scrape<'s, 'a>>,
    /// What is not scraped, and why.
    pub broken: Vec<BrokenLink<'a>>,
}

/// A port of a workload's pods that is scraped.
#[derive(Clone)]
pub struct Scrape<'s, 'a> {
    /// The endpoint of the monitor.
    pub endpoint: Field<'a>,
    /// The Service, and the field that names its port; `None` for a PodMonitor.
    pub service: Option<(Service<'a>, Field<'a>)>,
    /// The pods.
    pub pods: &'s PodGroup<'a>,
    /// The container that listens.
    pub container: &'s RunningContainer<'a>,
    /// The number of the port.
    pub number: u16,
    /// The names of the NetworkPolicies that let Prometheus reach it, in backticks.
    pub allowed_by: Vec<String>,
}

/// Resolves a ServiceMonitor or a PodMonitor.
///
/// # Errors
/// An object is not as Kubernetes has it; the error names the monitor.
pub fn targets<'s, 'a>(
    inventory: &'s Inventory<'a>,
    prometheus: &Prometheus,
    monitor: &ListedObject<'a>,
) -> Result<ScrapeTargets<'s, 'a>, Undecided> {
    MonitorResolver { inventory, prometheus }.resolve(monitor)
}

/// The label that a monitor or rule lacks to be selected by Prometheus.
///
/// # Errors
/// Its labels are not as Kubernetes has them.
pub fn unselected<'a>(
    prometheus: &Prometheus,
    object: Field<'a>,
) -> Result<Option<BrokenLink<'a>>, Undecided> {
    let labels = object.at("metadata.labels");
    for (key, required) in &prometheus.selects {
        let value = labels.key(object.arena().text(key));
        if value.str()? != Some(required) {
            let field = if value.is_set()? { value } else { labels };
            let message = format!("must have `{key}: {required}`, by which Prometheus selects it");
            return Ok(Some(BrokenLink { link: MonitorLink::Selection, field, message }));
        }
    }
    Ok(None)
}
