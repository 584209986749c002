//! Decides whether the NetworkPolicies at one end of a connection allow it.
//!
//! Source: kubernetes.io/docs/concepts/services-networking/network-policies: policies are additive, and if no policy isolates a
//! pod in a direction, all connections in that direction are allowed.

use policy_core::Undecided;

use super::{Direction, NetworkPolicy, Range};
use crate::ports::{NamedPort, Protocol};
use crate::selector::Labels;

/// A pod at one end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct PodEndpoint<'e> {
    /// Its namespace.
    pub namespace: &'e str,
    /// Its labels.
    pub labels: &'e Labels<'e>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Endpoint<'e> {
    /// A pod.
    Pod(PodEndpoint<'e>),
    /// A range of addresses outside of the cluster.
    Addresses(Range),
}

/// The destination port of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'e> {
    /// The protocol.
    pub protocol: Protocol,
    /// The port number.
    pub number: u16,
    /// The named ports of the destination; empty for addresses outside of the cluster.
    pub named: &'e [NamedPort<'e>],
}

/// Looks up the labels of a namespace by its name.
pub type NamespaceLabels<'e> = &'e dyn Fn(&str) -> Result<Labels<'e>, Undecided>;

/// The decision of the policies at one end of a connection.
#[derive(Debug)]
pub struct Decision<'p, 'a> {
    /// The policies that isolate that end in that direction. If empty, everything is allowed.
    pub isolated_by: Vec<&'p NetworkPolicy<'a>>,
    /// The isolating policies that allow the connection.
    pub allowed_by: Vec<&'p NetworkPolicy<'a>>,
}

impl Decision<'_, '_> {
    /// Whether that end allows the connection.
    pub fn allows(&self) -> bool {
        self.isolated_by.is_empty() || !self.allowed_by.is_empty()
    }
}

/// Decides whether a pod with these labels may connect to the peer (egress), or the peer to the pod (ingress). The policies must
/// be those of the pod's namespace.
///
/// # Errors
/// The labels of a namespace are needed but not known.
pub fn decide<'p, 'a: 'p>(
    policies: impl IntoIterator<Item = &'p NetworkPolicy<'a>>,
    direction: Direction,
    labels: &Labels<'_>,
    peer: &Endpoint<'_>,
    destination: Destination<'_>,
    labels_of: NamespaceLabels<'_>,
) -> Result<Decision<'p, 'a>, Undecided> {
    let mut decision = Decision { isolated_by: Vec::new(), allowed_by: Vec::new() };
    for policy in policies {
        if !policy.isolates(direction, labels) {
            continue;
        }
        decision.isolated_by.push(policy);
        if policy.allows(direction, peer, destination, labels_of)? {
            decision.allowed_by.push(policy);
        }
    }
    Ok(decision)
}
