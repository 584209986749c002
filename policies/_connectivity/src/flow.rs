//! What a map is made of: flows, their ends, and how they are gathered.

use std::collections::BTreeMap;
use std::fmt;

use crate::address::Range;
use crate::map::Map;
use crate::ports::Ports;
use crate::workload::Name;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End<'a> {
    /// The pods of a workload; of the kind `Gateway` those of which a Gateway is made.
    Workload(Name<'a>),
    /// Addresses outside of the cluster.
    Outside(Range),
    /// Whoever serves Ingresses.
    IngressController,
}

/// `shop/web[Deployment]`, `10.0.0.0-10.255.255.255[External]`, `{ingress-controller}`.
impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Workload(name) => name.fmt(f),
            End::Outside(range) => write!(f, "{range}[External]"),
            End::IngressController => f.write_str("{ingress-controller}"),
        }
    }
}

/// Connections that are possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow<'a> {
    /// Who opens them.
    pub from: End<'a>,
    /// Who is called.
    pub to: End<'a>,
    /// On which ports.
    pub ports: Ports,
    /// Whether an end is on the network of its node, so that it may be otherwise.
    pub unknown: bool,
}

/// `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`.
impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {} : {}", self.from, self.to, self.ports)
    }
}

/// Flows as they are found, by the numbers of their ends, and each set of ports once.
pub(crate) struct Found<'a> {
    ends: Vec<(End<'a>, bool)>,
    first_from: usize,
    first_to: usize,
    /// The number under which pods of one workload go.
    same: Vec<usize>,
    ports: Vec<Ports>,
    known: BTreeMap<Ports, usize>,
    flows: Vec<(usize, usize, usize)>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(map: &Map<'_, 'a>) -> Self {
        let mut ends = Vec::new();
        let mut numbers: BTreeMap<End<'a>, usize> = BTreeMap::new();
        let mut same = Vec::new();
        for pod in &map.pods {
            let number = *numbers.entry(pod.end()).or_insert(ends.len());
            same.push(number);
            if number == ends.len() {
                ends.push((pod.end(), false));
            }
            if let Some((_, unknown)) = ends.get_mut(number) {
                *unknown |= pod.workload.host_network;
            }
        }
        let outside = |range: &Range| (End::Outside(*range), false);
        let first_from = ends.len();
        ends.extend(map.ranges.from.iter().map(outside));
        let first_to = ends.len();
        ends.extend(map.ranges.to.iter().map(outside));
        let pods = map.pods.len();
        // Ranges go on counting after the pods.
        same.extend((first_from..ends.len()).collect::<Vec<_>>());
        let (first_from, first_to) = (pods, pods + first_to - first_from);
        let known = BTreeMap::from([(Ports::all(), 0)]);
        Found { ends, first_from, first_to, same, ports: vec![Ports::all()], known, flows: Vec::new() }
    }

    pub(crate) fn from(&self, range: usize) -> usize {
        self.first_from + range
    }

    pub(crate) fn to(&self, range: usize) -> usize {
        self.first_to + range
    }

    /// Adds a flow; `None` for all ports.
    pub(crate) fn add(&mut self, (from, to): (usize, usize), ports: Option<Ports>) {
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

    /// The flows in the order of what they say, those of one workload's different pods together.
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
