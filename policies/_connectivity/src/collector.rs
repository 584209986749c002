//! Collects and sorts the flows of a map.

use std::collections::BTreeMap;

use policy_kubernetes::network_policy::Range;
use policy_kubernetes::ports::Ports;

use crate::compile::PodClass;
use crate::flow::{Flow, FlowEnd};
use crate::ranges::AddressRanges;

/// The flows so far. Ends and sets of ports are stored once and referred to by index.
pub(crate) struct FlowCollector<'a> {
    ends: Vec<(FlowEnd<'a>, bool)>,
    first_from: usize,
    first_to: usize,
    /// For each pod, the index of its end: all pods of a workload share one.
    same: Vec<usize>,
    ports: Vec<Ports>,
    known: BTreeMap<Ports, usize>,
    flows: Vec<(usize, usize, usize)>,
}

impl<'a> FlowCollector<'a> {
    pub(crate) fn new(pods: &[PodClass<'a>], ranges: &AddressRanges) -> Self {
        let mut ends = Vec::new();
        let mut numbers: BTreeMap<FlowEnd<'a>, usize> = BTreeMap::new();
        let mut same = Vec::new();
        for pod in pods {
            let number = *numbers.entry(pod.end()).or_insert(ends.len());
            same.push(number);
            if number == ends.len() {
                ends.push((pod.end(), false));
            }
            if let Some((_, unknown)) = ends.get_mut(number) {
                *unknown |= pod.workload.host_network;
            }
        }
        let outside = |range: &Range| (FlowEnd::Outside(*range), false);
        let first_from = ends.len();
        ends.extend(ranges.from.iter().map(outside));
        let first_to = ends.len();
        ends.extend(ranges.to.iter().map(outside));
        let pods = pods.len();
        // The indices of address ranges follow those of the pods.
        same.extend((first_from..ends.len()).collect::<Vec<_>>());
        let (first_from, first_to) = (pods, pods + first_to - first_from);
        let known = BTreeMap::from([(Ports::all(), 0)]);
        FlowCollector {
            ends,
            first_from,
            first_to,
            same,
            ports: vec![Ports::all()],
            known,
            flows: Vec::new(),
        }
    }

    pub(crate) fn from(&self, range: usize) -> usize {
        self.first_from + range
    }

    pub(crate) fn to(&self, range: usize) -> usize {
        self.first_to + range
    }

    /// Adds a flow; `None` for all ports.
    pub(crate) fn add(&mut self, from: usize, to: usize, ports: Option<Ports>) {
        let ports = match ports {
            None => 0,
            Some(ports) if ports.is_empty() => return,
            Some(ports) => match self.known.get(&ports) {
                Some(known) => *known,
                None => {
                    self.known.insert(ports.clone(), self.ports.len());
                    self.ports.push(ports);
                    self.ports.len() - 1
                }
            },
        };
        if let (Some(from), Some(to)) = (self.same.get(from), self.same.get(to)) {
            self.flows.push((*from, *to, ports));
        }
    }

    /// The flows, sorted by their text. Flows between the same workloads are merged.
    pub(crate) fn flows(mut self) -> Vec<Flow<'a>> {
        let mut by_text: Vec<(String, usize)> =
            self.ends.iter().enumerate().map(|(i, (end, _))| (end.to_string(), i)).collect();
        by_text.sort_unstable();
        let mut rank = vec![0; by_text.len()];
        for (place, (_, number)) in by_text.iter().enumerate() {
            if let Some(rank) = rank.get_mut(*number) {
                *rank = place;
            }
        }
        let rank = |number: usize| rank.get(number).copied().unwrap_or_default();
        self.flows.sort_unstable_by_key(|(from, to, ports)| (rank(*from), rank(*to), *ports));
        let mut flows: Vec<Flow<'a>> = Vec::with_capacity(self.flows.len());
        let mut last = None;
        for (from, to, ports) in &self.flows {
            let (Some(a), Some(b), Some(ports)) =
                (self.ends.get(*from), self.ends.get(*to), self.ports.get(*ports))
            else {
                continue;
            };
            match flows.last_mut().filter(|_| last == Some((from, to))) {
                Some(flow) => flow.ports.unite(ports),
                None => flows.push(Flow { from: a.0, to: b.0, ports: ports.clone(), unknown: a.1 || b.1 }),
            }
            last = Some((from, to));
        }
        flows
    }
}
