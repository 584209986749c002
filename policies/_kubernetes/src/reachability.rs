//! Whether Prometheus can reach a port of pods, by the NetworkPolicies of both ends.

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
    /// The labels by which it selects monitors and rules; without any, it takes all.
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
    /// It can; if any end is isolated, these policies allow it, in backticks.
    Reachable {
        /// Their names.
        allowed_by: Vec<String>,
    },
    /// NetworkPolicies do not allow it.
    Blocked {
        /// On which side, and by which policies.
        reason: String,
    },
}

/// Whether the NetworkPolicies of both ends let Prometheus connect to a TCP port of these pods.
///
/// # Errors
/// A NetworkPolicy or a Namespace is not as Kubernetes has it.
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
                Direction::Egress => "out to",
                Direction::Ingress => "in to",
            };
            return Ok(Reachability::Blocked {
                reason: format!(
                    "no NetworkPolicy of `{}` lets Prometheus {way} {} on port {number}; isolated by {}",
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
