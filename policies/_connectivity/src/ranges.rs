//! The ranges of addresses outside of the cluster that a map distinguishes.

use policy_kubernetes::network_policy::{Block, Direction, Range, ranges};

use crate::topology::Topology;

/// The address ranges that policies distinguish, as sources and as destinations.
#[derive(Clone, Debug)]
pub struct AddressRanges {
    pub(crate) from: Vec<Range>,
    pub(crate) to: Vec<Range>,
}

impl AddressRanges {
    /// The ranges of all these topologies and further blocks together, so that maps of two topologies can be compared.
    pub fn of(topologies: &[&Topology<'_>], further: &[Block]) -> Self {
        let cut = |direction: Direction| {
            let policies = topologies.iter().flat_map(|topology| topology.policies());
            ranges(policies.flat_map(|policy| policy.blocks(direction)).chain(further))
        };
        AddressRanges { from: cut(Direction::Ingress), to: cut(Direction::Egress) }
    }

    pub(crate) fn seen(&self, direction: Direction) -> &[Range] {
        match direction {
            Direction::Ingress => &self.from,
            Direction::Egress => &self.to,
        }
    }
}
