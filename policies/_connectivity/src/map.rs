//! The map of allowed connections. Policies are compiled once, and pods that no selector distinguishes are merged.

use std::collections::BTreeMap;

use crate::collector::FlowCollector;
use crate::compile::{ApplicableRules, CompiledRule, Compiler, NamedPorts, PodClass};
use crate::entry_pods::entering;
use crate::flow::Flow;
use crate::ranges::AddressRanges;
use crate::topology::Topology;
use crate::workload::Workload;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::{Direction, Range};
use policy_kubernetes::ports::{NamedPort, Ports};

/// How NetworkPolicies isolate a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Whether any of its pods uses the host network, where NetworkPolicies may or may not apply.
    pub host_network: bool,
    /// Whether all its pods are isolated for ingress.
    pub isolated_ingress: bool,
    /// Whether all its pods are isolated for egress.
    pub isolated_egress: bool,
}

/// A topology with its compiled rules, ready for queries.
pub struct Map<'w, 'a> {
    pub(crate) topology: &'w Topology<'a>,
    pub(crate) ranges: AddressRanges,
    /// The pods, merged if no selector distinguishes them.
    pub(crate) pods: Vec<PodClass<'a>>,
    pub(crate) rules: Vec<CompiledRule<'w, 'a>>,
}

impl<'w, 'a> Map<'w, 'a> {
    /// The map of a topology.
    pub fn of(topology: &'w Topology<'a>) -> Self {
        Map::within(topology, AddressRanges::of(&[topology], &[]))
    }

    /// The map of a topology, with the addresses outside of the cluster divided into these ranges.
    pub fn within(topology: &'w Topology<'a>, ranges: AddressRanges) -> Self {
        let mut pods: Vec<PodClass<'a>> = Vec::new();
        let mut lists: BTreeMap<Vec<NamedPort<'a>>, usize> = BTreeMap::from([(Vec::new(), 0)]);
        let mut alike = |workload: Workload<'a>, enters| {
            let number = lists.len();
            let names = *lists.entry(workload.ports.clone()).or_insert(number);
            PodClass { workload, names, enters, ingress: None, egress: None }
        };
        pods.extend(merged_workloads(topology).map(|workload| alike(workload, false)));
        pods.extend(entering(topology).map(|workload| alike(workload, true)));
        let namespaces = topology.namespaces();
        let compiler = Compiler::new(&pods, &namespaces);
        let mut rules = Vec::new();
        for policy in topology.policies() {
            let selected = compiler.select(policy.namespace, &policy.pods);
            for direction in Direction::BOTH {
                let side = policy.side(direction);
                if !side.isolates {
                    continue;
                }
                let first = rules.len();
                for (number, rule) in side.rules.iter().enumerate() {
                    rules.push(compiler.compile(policy, number, rule, ranges.seen(direction)));
                }
                for one in selected.ones() {
                    let Some(pod) = pods.get_mut(one) else { continue };
                    let allowed = match direction {
                        Direction::Ingress => &mut pod.ingress,
                        Direction::Egress => &mut pod.egress,
                    };
                    let allowed = allowed.get_or_insert_default();
                    allowed.rules.extend(first..rules.len());
                    for rule in rules.get(first..).unwrap_or_default() {
                        allowed.peers.union_with(&rule.peers);
                    }
                }
            }
        }
        Map { topology, ranges, pods, rules }
    }

    /// The address ranges that the map distinguishes: sources for ingress, destinations for egress.
    pub fn ranges(&self, direction: Direction) -> &[Range] {
        self.ranges.seen(direction)
    }

    /// All flows, sorted by their text. Flows between pods of the same workload only if `within_workloads`.
    pub fn flows(&self, within_workloads: bool) -> Vec<Flow<'a>> {
        let mut found = FlowCollector::new(&self.pods, &self.ranges);
        for (to, callee) in self.pods.iter().enumerate().filter(|(_, pod)| !pod.enters) {
            let callers = self.pods.iter().enumerate().filter(|(_, caller)| !caller.enters);
            for (from, caller) in callers {
                let wanted = within_workloads || caller.workload.name != callee.workload.name;
                if wanted && self.may_connect(from, caller, to, callee) {
                    found.add(from, to, self.between(from, to));
                }
            }
            for (i, _) in self.ranges.from.iter().enumerate() {
                found.add(
                    found.from(i),
                    to,
                    self.through(callee.allowed(Direction::Ingress), callee.named(), |r| {
                        r.ranges.contains(i)
                    }),
                );
            }
        }
        for (from, caller) in self.pods.iter().enumerate().filter(|(_, caller)| !caller.enters) {
            for (i, _) in self.ranges.to.iter().enumerate() {
                found.add(
                    from,
                    found.to(i),
                    self.through(caller.allowed(Direction::Egress), NamedPorts::default(), |r| {
                        r.ranges.contains(i)
                    }),
                );
            }
        }
        for (from, to, ports) in self.entries() {
            found.add(from, to, Some(ports));
        }
        found.flows()
    }

    /// A cheap test that ignores ports: false if a connection is certainly denied.
    fn may_connect(&self, from: usize, caller: &PodClass<'a>, to: usize, callee: &PodClass<'a>) -> bool {
        callee.ingress.as_ref().is_none_or(|allowed| allowed.peers.contains(from))
            && caller.egress.as_ref().is_none_or(|allowed| allowed.peers.contains(to))
    }

    /// The ports on which one pod can connect to another; `None` for all ports.
    pub(crate) fn between(&self, from: usize, to: usize) -> Option<Ports> {
        let (Some(caller), Some(callee)) = (self.pods.get(from), self.pods.get(to)) else {
            return Some(Ports::default());
        };
        let out =
            self.through(caller.allowed(Direction::Egress), callee.named(), |rule| rule.peers.contains(to));
        let into = self
            .through(callee.allowed(Direction::Ingress), callee.named(), |rule| rule.peers.contains(from));
        match (out, into) {
            (None, ports) | (ports, None) => ports,
            (Some(out), Some(into)) => Some(out.intersection(&into)),
        }
    }

    /// The ports at the destination that the matching rules of one end allow; `None` if no policy isolates that end.
    pub(crate) fn through(
        &self,
        allowed: Option<&ApplicableRules>,
        named: NamedPorts<'_, '_>,
        names: impl Fn(&CompiledRule<'w, 'a>) -> bool,
    ) -> Option<Ports> {
        let mut ports = Ports::default();
        for rule in allowed?.rules.iter().filter_map(|rule| self.rules.get(*rule)).filter(|rule| names(rule))
        {
            ports.unite(&rule.ports(named.list, named.ports));
        }
        Some(ports)
    }

    /// The indices of the pods of a workload.
    pub(crate) fn pods_of(&self, name: WorkloadName<'_>) -> impl Iterator<Item = usize> {
        let numbered = self.pods.iter().enumerate();
        numbered.filter(move |(_, pod)| pod.workload.name == name).map(|(number, _)| number)
    }

    /// The workloads on the map and their isolation, by name.
    pub fn workloads(&self) -> BTreeMap<WorkloadName<'a>, Isolation> {
        let mut workloads: BTreeMap<WorkloadName<'a>, Isolation> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| !pod.enters) {
            let (ingress, egress) = (pod.ingress.is_some(), pod.egress.is_some());
            let host_network = pod.workload.host_network;
            let first = Isolation { host_network, isolated_ingress: ingress, isolated_egress: egress };
            let standing = workloads.entry(pod.workload.name).or_insert(first);
            standing.host_network |= host_network;
            standing.isolated_ingress &= ingress;
            standing.isolated_egress &= egress;
        }
        workloads
    }

    /// Notes about objects that are not on the map, host networks, blocked routes and exposed Services.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.topology.notes();
        for (name, _) in self.workloads().into_iter().filter(|(_, standing)| standing.host_network) {
            notes.push(format!("{name} uses the host network: NetworkPolicies may not apply to it"));
        }
        notes.extend(self.blocked());
        notes.extend(self.openings().iter().map(ToString::to_string));
        notes
    }
}

/// The pods of a topology, merged if no selector distinguishes them. Labels that no selector uses are ignored, because every pod
/// of a StatefulSet has a label of its own.
fn merged_workloads<'a>(topology: &Topology<'a>) -> impl Iterator<Item = Workload<'a>> {
    let keys = topology.selector_keys();
    let mut alike = BTreeMap::new();
    for workload in topology.workloads() {
        let labels: Vec<_> = workload.labels.iter().filter(|(key, _)| keys.contains(key)).collect();
        let (name, ports, host_network) = (workload.name, workload.ports, workload.host_network);
        let key = (name, labels.clone(), ports.clone(), host_network);
        alike.insert(key, Workload { name, labels: labels.into_iter().collect(), ports, host_network });
    }
    alike.into_values()
}
