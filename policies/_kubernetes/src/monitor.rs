//! ServiceMonitors and PodMonitors: the ports that Prometheus scrapes, resolved as prometheus-operator does, and the broken
//! links to other ports.
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
    /// Prometheus selects the monitor, and the monitor selects a Service or pods.
    Selection,
    /// The port has the same name at both ends.
    Port,
    /// NetworkPolicies allow Prometheus to reach the port.
    NetworkPolicy,
}

/// A broken link, and the field of the monitor at which it is reported.
#[derive(Clone, Debug)]
pub struct BrokenLink<'a> {
    /// The link that is broken.
    pub link: MonitorLink,
    /// The field of the monitor.
    pub field: Field<'a>,
    /// The message: the condition that must hold.
    pub message: String,
}

impl BrokenLink<'_> {
    /// The field and the message, for use in a message about another object.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.field.path(), self.message)
    }
}

/// The targets of a monitor.
#[derive(Default)]
pub struct ScrapeTargets<'s, 'a> {
    /// The scraped ports.
    pub scrapes: Vec<Scrape<'s, 'a>>,
    /// The selected ports that Prometheus cannot reach because of NetworkPolicies.
    pub unreachable: Vec<Scrape<'s, 'a>>,
    /// The broken links.
    pub broken: Vec<BrokenLink<'a>>,
}

/// A scraped port of a workload's pods.
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
    /// The names of the NetworkPolicies that allow Prometheus to reach it, in backticks.
    pub allowed_by: Vec<String>,
}

/// Resolves a ServiceMonitor or a PodMonitor.
///
/// # Errors
/// An object is not valid.
pub fn targets<'s, 'a>(
    inventory: &'s Inventory<'a>,
    prometheus: &Prometheus,
    monitor: &ListedObject<'a>,
) -> Result<ScrapeTargets<'s, 'a>, Undecided> {
    MonitorResolver { inventory, prometheus }.resolve(monitor)
}

/// Checks that Prometheus selects a monitor or rule. Returns the label that is missing or different.
///
/// # Errors
/// Its labels are not valid.
pub fn unselected<'a>(
    prometheus: &Prometheus,
    object: Field<'a>,
) -> Result<Option<BrokenLink<'a>>, Undecided> {
    let labels = object.at("metadata.labels");
    for (key, required) in &prometheus.selects {
        let value = labels.key(object.arena().text(key));
        if value.str()? != Some(required) {
            let field = if value.is_set()? { value } else { labels };
            let message = format!("must have `{key}: {required}` so that Prometheus selects it");
            return Ok(Some(BrokenLink { link: MonitorLink::Selection, field, message }));
        }
    }
    Ok(None)
}
