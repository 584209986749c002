//! Compiles NetworkPolicy rules: the peers that each rule matches, and the rules that apply to each pod.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use policy_kubernetes::{Labels, Selector};

use crate::entry_pods::INGRESS_NAMESPACE;
use crate::flow::FlowEnd;
use crate::index::{LabelIndex, all_indices};
use crate::workload::Workload;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::network_policy::{Block, Range};
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::network_policy::{Peer, Rule};
use policy_kubernetes::ports::NamedPort;
use policy_kubernetes::ports::Ports;

/// Pods that no selector distinguishes, and the rules that apply to them.
pub(crate) struct PodClass<'a> {
    pub(crate) workload: Workload<'a>,
    /// The index of its list of named ports among all such lists; 0 is the empty list.
    pub(crate) names: usize,
    /// Whether these are pods of a Gateway or an ingress controller, which open connections only along their routes.
    pub(crate) enters: bool,
    /// The rules for ingress; `None` if no policy isolates the pods for ingress. The same holds for `egress`.
    pub(crate) ingress: Option<ApplicableRules>,
    pub(crate) egress: Option<ApplicableRules>,
}

/// The rules that apply to a pod in one direction, and all pods that any of them matches.
#[derive(Default)]
pub(crate) struct ApplicableRules {
    pub(crate) rules: Vec<usize>,
    pub(crate) peers: FixedBitSet,
}

/// A rule with the peers that it matches.
pub(crate) struct CompiledRule<'w, 'a> {
    pub(crate) policy: &'w NetworkPolicy<'a>,
    /// Its index among the rules of the policy for this direction.
    pub(crate) number: usize,
    pub(crate) rule: &'w Rule<'a>,
    pub(crate) peers: FixedBitSet,
    pub(crate) ranges: FixedBitSet,
    /// The allowed ports, by the index of the list of named ports of the destination.
    ports: Vec<OnceCell<Ports>>,
}

impl CompiledRule<'_, '_> {
    /// The ports that the rule allows at a destination with these named ports.
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
    /// The index of the list among all lists; 0 is the empty list.
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

    /// The named ports of these pods.
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

/// Compiles rules against the pods and namespaces of a map.
pub(crate) struct Compiler<'a> {
    pods: LabelIndex<'a>,
    namespaces: LabelIndex<'a>,
    /// The pods of each namespace, in the order of the index `namespaces`.
    members: BTreeMap<&'a str, FixedBitSet>,
    len: usize,
    /// The number of lists of named ports.
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

    /// The pods of a namespace that a selector matches.
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
        let all_peers = rule.peers.is_empty();
        let mut peers = if all_peers { all_indices(self.len) } else { FixedBitSet::with_capacity(self.len) };
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
            ranges.set(i, all_peers || blocks.contains(range));
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
