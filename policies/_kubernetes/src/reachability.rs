//! Decides whether the NetworkPolicies of both ends allow Prometheus to reach a port.

use std::collections::BTreeMap;

use policy_core::Undecided;
use policy_core::path::excerpt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::{Inventory, PodGroup};
use crate::network_policy::{Decision, Destination, Direction, Endpoint, PodEndpoint, decide};
use crate::ports::Protocol;
use crate::selector::Labels;

/// The Prometheus that scrapes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Prometheus {
    /// The namespace of its pods.
    pub namespace: String,
    /// The labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// The labels by which it selects monitors and rules; if empty, it selects all of them.
    pub selects: BTreeMap<String, String>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Prometheus {
            namespace: "monitoring".to_owned(),
            labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "prometheus".to_owned())]),
            selects: BTreeMap::new(),
        }
    }
}

/// Whether Prometheus can reach a port of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Prometheus can reach the port.
    Reachable {
        /// The names of the policies that allow the connection, in backticks; empty if no end is isolated.
        allowed_by: Vec<String>,
    },
    /// NetworkPolicies do not allow the connection.
    Blocked {
        /// The side that blocks the connection, and the policies that isolate it.
        reason: String,
    },
}

/// Whether the NetworkPolicies of both ends allow Prometheus to connect to a TCP port of these pods.
///
/// # Errors
/// A NetworkPolicy or a Namespace is not valid.
pub fn reachable(
    inventory: &Inventory<'_>,
    prometheus: &Prometheus,
    pods: &PodGroup<'_>,
    number: u16,
) -> Result<Reachability, Undecided> {
    let labels: Labels<'_> = prometheus.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let caller = PodEndpoint { namespace: &prometheus.namespace, labels: &labels };
    let callee = PodEndpoint { namespace: pods.namespace, labels: &pods.labels };
    let named = pods.named_ports();
    let destination = Destination { protocol: Protocol::Tcp, number, named: &named };
    let labels_of = |namespace: &str| inventory.namespace_labels(namespace);
    let mut names = Vec::new();
    for (direction, own, peer) in [(Direction::Egress, caller, callee), (Direction::Ingress, callee, caller)]
    {
        let policies = inventory.network_policies(own.namespace)?;
        let decision =
            decide(policies.iter(), direction, own.labels, &Endpoint::Pod(peer), destination, &labels_of)?;
        let quoted = |decision: &Decision<'_, '_>, allowed: bool| -> Vec<String> {
            let list = if allowed { &decision.allowed_by } else { &decision.isolated_by };
            list.iter().map(|policy| format!("`{}`", excerpt(policy.name))).collect()
        };
        if !decision.allows() {
            let way = match direction {
                Direction::Egress => "egress from Prometheus to",
                Direction::Ingress => "ingress from Prometheus to",
            };
            return Ok(Reachability::Blocked {
                reason: format!(
                    "no NetworkPolicy in `{}` allows {way} {} on port {number}; isolated by {}",
                    excerpt(own.namespace),
                    pods.display(),
                    quoted(&decision, false).join(", ")
                ),
            });
        }
        names.extend(quoted(&decision, true));
    }
    Ok(Reachability::Reachable { allowed_by: names })
}
