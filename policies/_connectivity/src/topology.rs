//! The input of a map: namespaces, workloads, policies, Services, Gateways and routes.

mod add;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Arena, Value};
use policy_kubernetes::{Labels, Selector, WorkloadKinds};

use crate::service::ServiceEntry;
use crate::workload::Workload;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::namespace::implied_labels;
use policy_kubernetes::network_policy::Peer;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::ports::NamedPort;
use policy_kubernetes::ports::Ports;
use policy_kubernetes::route::{Gateway, RouteBackends};

/// The objects that determine which connections are allowed.
#[derive(Debug)]
pub struct Topology<'a> {
    arena: &'a Arena,
    kinds: WorkloadKinds<'a>,
    texts: BTreeSet<&'a str>,
    namespaces: BTreeMap<&'a str, Labels<'a>>,
    workloads: BTreeMap<Same<'a>, Workload<'a>>,
    /// The owners of workloads that have one, such as the Deployment of a ReplicaSet.
    owners: BTreeMap<WorkloadName<'a>, WorkloadName<'a>>,
    policies: BTreeMap<(&'a str, &'a str), (NetworkPolicy<'a>, usize)>,
    /// The contents of objects, by kind, namespace and name, to detect objects that contradict each other.
    message: BTreeMap<(&'a str, &'a str, &'a str), Value<'a>>,
    services: BTreeMap<(&'a str, &'a str), ServiceEntry<'a>>,
    gateways: BTreeMap<(&'a str, &'a str), Gateway<'a>>,
    backends: Vec<RouteBackends<'a>>,
    notes: Vec<String>,
}

/// The workload, labels, named ports and host network: pods with equal values are equal to every policy.
type Same<'a> = (WorkloadName<'a>, Vec<(&'a str, &'a str)>, Vec<NamedPort<'a>>, bool);

impl<'a> Topology<'a> {
    /// An empty topology. Added objects are stored in the arena; `kinds` are the kinds of workloads.
    pub fn new(arena: &'a Arena, kinds: WorkloadKinds<'a>) -> Self {
        Topology {
            arena,
            kinds,
            texts: Default::default(),
            namespaces: BTreeMap::new(),
            workloads: BTreeMap::new(),
            owners: BTreeMap::new(),
            policies: BTreeMap::new(),
            message: BTreeMap::new(),
            services: BTreeMap::new(),
            gateways: BTreeMap::new(),
            backends: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Namespaces and their labels, including namespaces that only other objects name, with their implied labels.
    pub(crate) fn namespaces(&self) -> BTreeMap<&'a str, Labels<'a>> {
        let mut all = self.namespaces.clone();
        let workloads = self.workloads.values().map(|workload| workload.name.namespace);
        let named = self.gateways.keys().chain(self.policies.keys());
        let named = named.chain(self.backends.iter().flat_map(|backends| &backends.gateways));
        let gateways = named.map(|(namespace, _)| *namespace);
        for namespace in workloads.chain(gateways) {
            all.entry(namespace).or_insert_with(|| implied_labels(namespace));
        }
        all
    }

    /// The workloads, each under the name of its topmost known owner.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'a>> {
        self.workloads.values().map(|workload| {
            let mut name = workload.name;
            // At most as many steps as owners, so that the loop ends even if two own each other.
            for _ in 0..=self.owners.len() {
                match self.owners.get(&name) {
                    Some(owner) if *owner != name => name = *owner,
                    _ => break,
                }
            }
            Workload { name, ..workload.clone() }
        })
    }

    /// The label keys that any pod selector uses.
    pub(crate) fn selector_keys(&self) -> BTreeSet<&str> {
        let mut keys: BTreeSet<&str> = self.services.values().flat_map(ServiceEntry::keys).collect();
        keys.extend(self.policies().flat_map(|policy| policy.pods.keys()));
        keys.extend(self.peers().flat_map(|(_, pods)| pods.keys()));
        keys
    }

    /// The NetworkPolicies.
    pub fn policies(&self) -> impl Iterator<Item = &NetworkPolicy<'a>> {
        self.policies.values().map(|(policy, _)| policy)
    }

    /// The caller's identifier for the source of a policy.
    pub fn origin(&self, policy: &NetworkPolicy<'a>) -> Option<usize> {
        self.policies.get(&(policy.namespace, policy.name)).map(|(_, origin)| *origin)
    }

    /// The Service of that name.
    pub(crate) fn service(&self, namespace: &'a str, name: &'a str) -> Option<&ServiceEntry<'a>> {
        self.services.get(&(namespace, name))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceEntry<'a>> {
        self.services.values()
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = (WorkloadName<'a>, &Ports)> {
        let named = self.gateways.iter();
        named.map(|((namespace, name), gateway)| {
            (WorkloadName { namespace, name, kind: "Gateway" }, &gateway.listens)
        })
    }

    pub(crate) fn gateway(&self, namespace: &'a str, name: &'a str) -> Gateway<'a> {
        self.gateways.get(&(namespace, name)).cloned().unwrap_or_else(|| Gateway::named(name))
    }

    pub(crate) fn backends(&self) -> &[RouteBackends<'a>] {
        &self.backends
    }

    /// The selector peers of all rules: namespace selectors and pod selectors.
    fn peers(&self) -> impl Iterator<Item = (Option<&Selector<'a>>, &Selector<'a>)> {
        let sides =
            self.policies().flat_map(|policy| Direction::BOTH.map(|direction| policy.side(direction)));
        sides.flat_map(|side| &side.rules).flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
            Peer::Pods { namespaces, pods } => Some((namespaces.as_ref(), pods)),
            Peer::Block(_) => None,
        })
    }

    /// Whether the topology has pods of that workload.
    pub fn has(&self, name: WorkloadName<'_>) -> bool {
        self.workloads().any(|workload| workload.name == name)
    }
}
