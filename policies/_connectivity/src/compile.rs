//! Rules, each with the pods and addresses that it names, and pods, each with the rules that apply to it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use policy_kubernetes::{Labels, Selector};

use crate::entry_pods::INGRESS_NAMESPACE;
use crate::flow::FlowEnd;
use crate::index::{LabelIndex, everyone};
use crate::workload::Workload;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::network_policy::{Block, Range};
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::network_policy::{Peer, Rule};
use policy_kubernetes::ports::NamedPort;
use policy_kubernetes::ports::Ports;

/// Pods that are alike, and what applies to them.
pub(crate) struct PodClass<'a> {
    pub(crate) workload: Workload<'a>,
    /// The number of the list of its ports' names, among all that there are; 0 for none.
    pub(crate) names: usize,
    /// Not of a workload, but where traffic enters: it opens connections along its routes only.
    pub(crate) enters: bool,
    /// What isolates them, and what is allowed all the same; `None` where nothing isolates them.
    pub(crate) ingress: Option<ApplicableRules>,
    pub(crate) egress: Option<ApplicableRules>,
}

/// The rules that apply, and all pods that any of them names.
#[derive(Default)]
pub(crate) struct ApplicableRules {
    pub(crate) rules: Vec<usize>,
    pub(crate) peers: FixedBitSet,
}

/// A rule, and whom it names.
pub(crate) struct CompiledRule<'w, 'a> {
    pub(crate) policy: &'w NetworkPolicy<'a>,
    /// Its number among those of its policy's direction.
    pub(crate) number: usize,
    pub(crate) rule: &'w Rule<'a>,
    pub(crate) peers: FixedBitSet,
    pub(crate) ranges: FixedBitSet,
    /// The ports, by the number of the list of names that a destination has for its own.
    ports: Vec<OnceCell<Ports>>,
}

impl CompiledRule<'_, '_> {
    /// The ports that it allows at a destination, which has that list of names.
    pub(crate) fn ports(&self, names: usize, named: &[NamedPort<'_>]) -> Cow<'_, Ports> {
        match self.ports.get(names) {
            Some(ports) => Cow::Borrowed(ports.get_or_init(|| self.rule.ports(named))),
            None => Cow::Owned(self.rule.ports(named)),
        }
    }
}

/// The named ports of a pod.
#[derive(Clone, Copy, Default)]
pub(crate) struct NamedPorts<'p, 'a> {
    /// The number of that list among all lists; 0 is the empty one.
    pub(crate) list: usize,
    pub(crate) ports: &'p [NamedPort<'a>],
}

impl<'a> PodClass<'a> {
    pub(crate) fn allowed(&self, direction: Direction) -> Option<&ApplicableRules> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }

    /// The names of its ports.
    pub(crate) fn named(&self) -> NamedPorts<'_, 'a> {
        NamedPorts { list: self.names, ports: &self.workload.ports }
    }

    pub(crate) fn end(&self) -> FlowEnd<'a> {
        match self.workload.name {
            WorkloadName { kind: "", .. } => FlowEnd::IngressController,
            name => FlowEnd::Workload(name),
        }
    }
}

/// What rules are compiled against.
pub(crate) struct Compiler<'a> {
    pods: LabelIndex<'a>,
    namespaces: LabelIndex<'a>,
    /// The pods of each namespace, and in the order of the index.
    members: BTreeMap<&'a str, FixedBitSet>,
    len: usize,
    /// How many lists of ports' names there are.
    names: usize,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(pods: &[PodClass<'a>], namespaces: &BTreeMap<&'a str, Labels<'a>>) -> Self {
        let mut namespaces = namespaces.clone();
        let ingress = [(NAMESPACE_NAME, INGRESS_NAMESPACE)];
        namespaces.entry(INGRESS_NAMESPACE).or_insert_with(|| ingress.into_iter().collect());
        let len = pods.len();
        let mut members: BTreeMap<&'a str, FixedBitSet> =
            namespaces.keys().map(|name| (*name, FixedBitSet::with_capacity(len))).collect();
        for (i, pod) in pods.iter().enumerate() {
            if let Some(members) = members.get_mut(pod.workload.name.namespace) {
                members.insert(i);
            }
        }
        let names = pods.iter().map(|pod| pod.names + 1).max().unwrap_or(1);
        let index = LabelIndex::new(pods.iter().map(|pod| &pod.workload.labels));
        Compiler { pods: index, namespaces: LabelIndex::new(namespaces.values()), members, len, names }
    }

    /// The pods of a namespace that a selector takes.
    pub(crate) fn select(&self, namespace: &str, selector: &Selector<'_>) -> FixedBitSet {
        let mut selected = self.pods.select(selector);
        match self.members.get(namespace) {
            Some(members) => selected.intersect_with(members),
            None => selected.clear(),
        }
        selected
    }

    pub(crate) fn compile<'w>(
        &self,
        policy: &'w NetworkPolicy<'a>,
        number: usize,
        rule: &'w Rule<'a>,
        seen: &[Range],
    ) -> CompiledRule<'w, 'a> {
        let everybody = rule.peers.is_empty();
        let mut peers = if everybody { everyone(self.len) } else { FixedBitSet::with_capacity(self.len) };
        for peer in &rule.peers {
            if let Peer::Pods { namespaces, pods } = peer {
                peers.union_with(&match namespaces {
                    None => self.select(policy.namespace, pods),
                    Some(namespaces) => self.select_in(namespaces, pods),
                });
            }
        }
        let mut ranges = FixedBitSet::with_capacity(seen.len());
        let blocks = Block::all_of(rule.blocks());
        for (i, range) in seen.iter().enumerate() {
            ranges.set(i, everybody || blocks.contains(range));
        }
        let ports = vec![OnceCell::new(); self.names];
        CompiledRule { policy, number, rule, peers, ranges, ports }
    }

    fn select_in(&self, namespaces: &Selector<'_>, pods: &Selector<'_>) -> FixedBitSet {
        let mut inside = FixedBitSet::with_capacity(self.len);
        let taken = self.namespaces.select(namespaces);
        for (i, members) in self.members.values().enumerate() {
            if taken.contains(i) {
                inside.union_with(members);
            }
        }
        inside.intersect_with(&self.pods.select(pods));
        inside
    }
}
