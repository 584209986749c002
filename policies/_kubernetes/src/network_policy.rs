//! NetworkPolicies (networking.k8s.io/v1): the pods that they isolate and the connections that they allow.

mod address;
mod decision;
mod rule;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

pub use address::{Block, Range, ranges};
pub use decision::{Decision, Destination, Endpoint, NamespaceLabels, PodEndpoint, decide};
pub use rule::{Peer, Port, Rule, selects_namespace};

use crate::selector::{Labels, Selector};
use address::only;

/// The direction of a connection, from the perspective of the pod that a policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// The opposite direction.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        }
    }

    /// The field of a NetworkPolicy that contains the rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// The value in `policyTypes`.
    pub fn policy_type(self) -> &'static str {
        match self {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        }
    }

    /// The field of a rule that contains the peers.
    pub fn peers(self) -> &'static str {
        match self {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }
}

/// A NetworkPolicy.
#[derive(Clone, Debug)]
pub struct NetworkPolicy<'a> {
    /// Its namespace, which is also that of the pods that it selects.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The selector of its pods.
    pub pods: Selector<'a>,
    ingress: DirectionRules<'a>,
    egress: DirectionRules<'a>,
}

/// The rules of a policy for one direction.
#[derive(Clone, Debug, Default)]
pub struct DirectionRules<'a> {
    /// Whether the policy isolates its pods in this direction, so that only connections that a rule allows are possible.
    pub isolates: bool,
    /// The allowed connections. They have no effect if the policy does not isolate this direction.
    pub rules: Vec<Rule<'a>>,
}

impl<'a> NetworkPolicy<'a> {
    /// Reads a NetworkPolicy in that namespace.
    ///
    /// # Errors
    /// The API server would reject it (`ValidateNetworkPolicySpec`).
    pub fn read(object: Field<'a>, namespace: &'a str) -> Result<Self, Undecided> {
        // The API server accepts a NetworkPolicy without a spec, which selects every pod.
        let spec = object.at("spec");
        only(spec, &["podSelector", "policyTypes", "ingress", "egress"])?;
        let side = |direction: Direction| -> Result<DirectionRules<'a>, Undecided> {
            let rules = spec.at(direction.as_str()).items()?;
            let rules = rules.map(|rule| Rule::read(rule, direction)).collect::<Result<Vec<_>, _>>()?;
            Ok(DirectionRules { isolates: isolates(spec.at("policyTypes"), direction, &rules)?, rules })
        };
        Ok(NetworkPolicy {
            namespace,
            name: object.at("metadata.name").text()?,
            pods: Selector::read(spec.at("podSelector"))?,
            ingress: side(Direction::Ingress)?,
            egress: side(Direction::Egress)?,
        })
    }

    /// The rules for that direction.
    pub fn side(&self, direction: Direction) -> &DirectionRules<'a> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whether it isolates a pod with these labels in its namespace.
    pub fn isolates(&self, direction: Direction, labels: &Labels<'_>) -> bool {
        self.side(direction).isolates && self.pods.matches(labels)
    }

    /// Whether one of its rules for that direction allows a connection between a pod that it selects and the peer.
    ///
    /// # Errors
    /// The labels of a namespace are needed but not known.
    pub fn allows(
        &self,
        direction: Direction,
        peer: &Endpoint<'_>,
        destination: Destination<'_>,
        labels_of: NamespaceLabels<'_>,
    ) -> Result<bool, Undecided> {
        for rule in &self.side(direction).rules {
            if rule.ports(destination.named).contains(destination.protocol, destination.number)
                && rule.matches(self.namespace, peer, labels_of)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it is a default deny: it isolates all pods of its namespace and allows nothing.
    pub fn denies_by_default(&self, direction: Direction) -> bool {
        let side = self.side(direction);
        side.isolates && side.rules.is_empty() && self.pods.matches_everything()
    }

    /// The address blocks in its rules.
    pub fn blocks(&self, direction: Direction) -> impl Iterator<Item = &Block> {
        let side = self.side(direction);
        let rules = side.rules.iter().filter(|_| side.isolates);
        rules.flat_map(|rule| rule.blocks())
    }
}

/// Whether a direction is isolated. If `policyTypes` is not set, ingress is always isolated, and egress if it has rules
/// (networking/v1, NetworkPolicySpec).
fn isolates(types: Field<'_>, direction: Direction, rules: &[Rule<'_>]) -> Result<bool, Undecided> {
    let listed = types.items()?;
    if listed.len() == 0 {
        return Ok(direction == Direction::Ingress || !rules.is_empty());
    }
    if listed.len() > 2 {
        return Err(types.undecided("must list at most Ingress and Egress"));
    }
    let mut isolates = false;
    for listed in listed {
        match listed.text()? {
            "Ingress" | "Egress" => isolates |= listed.text()? == direction.policy_type(),
            other => {
                let is = format!("must be Ingress or Egress, is `{}`", excerpt(other));
                return Err(listed.undecided(is));
            }
        }
    }
    Ok(isolates)
}
