//! All that a map is made of: namespaces, workloads, policies, and where traffic enters.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::selector::{Labels, Requirement};
use policy_core::{Arena, Field, Request, Undecided, Value};

use crate::entry::{Backends, Gateway, Service};
use crate::policy::{Direction, NetworkPolicy};
use crate::rule::{NamedPort, Peer};
use crate::workload::{Name, Workload, owner};

/// The label that every Namespace has of itself.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Kinds of policies beside NetworkPolicy that decide about traffic too, and are not read.
const OTHER_POLICIES: &[(&str, &str)] = &[
    ("cilium.io", "CiliumClusterwideNetworkPolicy"),
    ("cilium.io", "CiliumNetworkPolicy"),
    ("crd.antrea.io", "ClusterNetworkPolicy"),
    ("crd.antrea.io", "NetworkPolicy"),
    ("crd.projectcalico.org", "GlobalNetworkPolicy"),
    ("crd.projectcalico.org", "NetworkPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
    ("projectcalico.org", "GlobalNetworkPolicy"),
    ("projectcalico.org", "NetworkPolicy"),
];

/// What is known.
#[derive(Debug)]
pub struct World<'a> {
    arena: &'a Arena,
    texts: BTreeSet<&'a str>,
    namespaces: BTreeMap<&'a str, Labels<'a>>,
    workloads: BTreeMap<Same<'a>, Workload<'a>>,
    /// The controllers of what is a controller itself: of a ReplicaSet the Deployment.
    owners: BTreeMap<Name<'a>, Name<'a>>,
    policies: BTreeMap<(&'a str, &'a str), (NetworkPolicy<'a>, usize)>,
    /// What objects of which there can be only one say, by kind, namespace and name.
    said: BTreeMap<(&'a str, &'a str, &'a str), Value<'a>>,
    services: BTreeMap<(&'a str, &'a str), Service<'a>>,
    gateways: BTreeMap<(&'a str, &'a str), Gateway<'a>>,
    backends: Vec<Backends<'a>>,
    notes: Vec<String>,
}

/// What makes pods alike to every policy.
type Same<'a> = (Name<'a>, Vec<(&'a str, &'a str)>, Vec<NamedPort<'a>>, bool);

impl<'a> World<'a> {
    /// Nothing. What is added is kept in that arena.
    pub fn new(arena: &'a Arena) -> Self {
        World {
            arena,
            texts: Default::default(),
            namespaces: BTreeMap::new(),
            workloads: BTreeMap::new(),
            owners: BTreeMap::new(),
            policies: BTreeMap::new(),
            said: BTreeMap::new(),
            services: BTreeMap::new(),
            gateways: BTreeMap::new(),
            backends: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds the object of a request, if it has to do with traffic. `origin` is how the caller calls its place.
    ///
    /// # Errors
    /// It is not as Kubernetes has it, or another object of its name is there that says otherwise.
    pub fn add(&mut self, request: &Request<'_>, origin: usize) -> Result<(), Undecided> {
        let (group, kind) = (request.kind.group, request.kind.name);
        match (group, kind) {
            ("", "Namespace") => {
                let (object, _) = self.keep(request)?;
                let labels = Labels::of(object.at("metadata.labels"))?;
                let name = self.once(request, object.at("metadata.labels"))?;
                self.namespaces.insert(name, labels);
            }
            ("networking.k8s.io", "NetworkPolicy") => {
                let (object, namespace) = self.keep(request)?;
                let policy = NetworkPolicy::read(object, namespace)?;
                self.once(request, object.at("spec"))?;
                self.policies.entry((namespace, policy.name)).or_insert((policy, origin));
            }
            ("", "Service") => {
                let (object, namespace) = self.keep(request)?;
                let service = Service::read(object, namespace)?;
                self.once(request, object.at("spec"))?;
                self.services.insert((namespace, service.name), service);
            }
            ("gateway.networking.k8s.io", "Gateway") => {
                let (object, namespace) = self.keep(request)?;
                let gateway = Gateway::read(object)?;
                self.once(request, object.at("spec"))?;
                self.gateways.insert((namespace, gateway.name), gateway);
            }
            (
                "gateway.networking.k8s.io",
                "GRPCRoute" | "HTTPRoute" | "TCPRoute" | "TLSRoute" | "UDPRoute",
            )
            | ("networking.k8s.io" | "extensions", "Ingress") => {
                let (object, namespace) = self.keep(request)?;
                let kind = self.text(kind);
                self.backends.push(Backends::read(object, kind, namespace, &mut self.notes)?);
            }
            _ if OTHER_POLICIES.contains(&(group, kind)) => {
                let name = request.display_name()?;
                self.notes.push(format!(
                    "{kind}.{group} {name} is not read: the map is without what it allows and denies"
                ));
            }
            _ if !self.add_workload(request)? && makes_pods(request.object) => {
                let (name, namespace) = (request.display_name()?, request.namespace);
                self.notes.push(format!(
                    "{kind}.{group} {namespace}/{name} is not read: the map is without its pods"
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers what an object says, and gives its name.
    ///
    /// # Errors
    /// Another object of its name says otherwise: which of them counts is not known here.
    fn once(&mut self, request: &Request<'_>, says: Field<'a>) -> Result<&'a str, Undecided> {
        let name = self.text(request.object.at("metadata.name").text()?);
        let key = (self.text(request.kind.name), self.text(request.namespace), name);
        let says = says.value()?.copied().unwrap_or(Value::Null);
        match self.said.get(&key) {
            Some(known) if *known != says && !name.is_empty() => {
                let reason =
                    format!("must not be that of another {} which says otherwise", request.kind.name);
                Err(request.object.at("metadata.name").undecided(reason))
            }
            _ => {
                self.said.insert(key, says);
                Ok(name)
            }
        }
    }

    /// Adds the pods of a workload; says whether it is one.
    fn add_workload(&mut self, request: &Request<'_>) -> Result<bool, Undecided> {
        if !Workload::is_one(request) {
            return Ok(false);
        }
        let Some(read) = Workload::read(request, &mut self.notes)? else { return Ok(true) };
        let own =
            Name { namespace: request.namespace, name: request.display_name()?, kind: request.kind.name };
        if request.kind.name != "Pod" && owner(request.object)?.is_some() {
            let (own, by) = (self.name(own), self.name(read.name));
            self.owners.insert(own, by);
        }
        self.add_pods(&read);
        Ok(true)
    }

    /// Adds pods that no object speaks of, such as those that a chart makes.
    pub fn add_pods(&mut self, pods: &Workload<'_>) {
        let name = self.name(pods.name);
        let labels: Vec<_> = pods.labels.iter().map(|(k, v)| (self.text(k), self.text(v))).collect();
        let mut ports = Vec::new();
        for port in &pods.ports {
            ports.push(NamedPort {
                name: self.text(port.name),
                protocol: port.protocol,
                number: port.number,
            });
        }
        let host_network = pods.host_network;
        let kept =
            Workload { name, labels: labels.iter().copied().collect(), ports: ports.clone(), host_network };
        self.workloads.insert((name, labels, ports, host_network), kept);
    }

    /// Says which labels the pods have that a Gateway is made of, beside those that the Gateway API gives them.
    pub fn add_gateway_labels(&mut self, name: Name<'_>, labels: &Labels<'_>) {
        let key = (self.text(name.namespace), self.text(name.name));
        let labels: Vec<_> = labels.iter().map(|(k, v)| (self.text(k), self.text(v))).collect();
        let gateway = self.gateways.entry(key).or_insert_with(|| Gateway::named(key.1));
        for (key, value) in labels {
            gateway.labels.add(key, value);
        }
    }

    /// Namespaces and their labels: those that objects name too, which have the label of their name at least.
    pub(crate) fn namespaces(&self) -> BTreeMap<&'a str, Labels<'a>> {
        let mut all = self.namespaces.clone();
        let workloads = self.workloads.values().map(|workload| workload.name.namespace);
        let named = self.gateways.keys().chain(self.policies.keys());
        let named = named.chain(self.backends.iter().flat_map(|backends| &backends.gateways));
        let gateways = named.map(|(namespace, _)| *namespace);
        for namespace in workloads.chain(gateways) {
            all.entry(namespace).or_insert_with(|| [(NAMESPACE_NAME, namespace)].into_iter().collect());
        }
        for (name, labels) in &mut all {
            labels.add(NAMESPACE_NAME, name);
        }
        all
    }

    /// The workloads, each under the name of its last owner that is known.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'a>> {
        self.workloads.values().map(|workload| {
            let mut name = workload.name;
            // As many steps as there are owners, so that two which own each other end too.
            for _ in 0..=self.owners.len() {
                match self.owners.get(&name) {
                    Some(owner) if *owner != name => name = *owner,
                    _ => break,
                }
            }
            Workload { name, ..workload.clone() }
        })
    }

    /// The keys of labels that any selector of pods asks for.
    pub(crate) fn asked_keys(&self) -> BTreeSet<&'a str> {
        let mut keys: BTreeSet<&'a str> = self.services.values().flat_map(Service::keys).collect();
        for policy in self.policies() {
            keys.extend(policy.pods.requirements.iter().map(Requirement::key));
            let rules = Direction::BOTH.iter().flat_map(|direction| &policy.side(*direction).rules);
            for peer in rules.flat_map(|rule| &rule.peers) {
                if let Peer::Pods { pods, .. } = peer {
                    keys.extend(pods.requirements.iter().map(Requirement::key));
                }
            }
        }
        keys
    }

    /// The NetworkPolicies.
    pub fn policies(&self) -> impl Iterator<Item = &NetworkPolicy<'a>> {
        self.policies.values().map(|(policy, _)| policy)
    }

    /// How the caller calls the place of a policy.
    pub fn origin(&self, policy: &NetworkPolicy<'a>) -> Option<usize> {
        self.policies.get(&(policy.namespace, policy.name)).map(|(_, origin)| *origin)
    }

    /// The Service of that name.
    pub(crate) fn service(&self, namespace: &'a str, name: &'a str) -> Option<&Service<'a>> {
        self.services.get(&(namespace, name))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Service<'a>> {
        self.services.values()
    }

    pub(crate) fn gateway(&self, namespace: &'a str, name: &'a str) -> Gateway<'a> {
        self.gateways.get(&(namespace, name)).cloned().unwrap_or_else(|| Gateway::named(name))
    }

    pub(crate) fn backends(&self) -> &[Backends<'a>] {
        &self.backends
    }

    /// What has to do with traffic and is not read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The object of a request and its namespace, to stay.
    fn keep(&mut self, request: &Request<'_>) -> Result<(Field<'a>, &'a str), Undecided> {
        let value = request.object.value()?.copied().unwrap_or(Value::Null);
        Ok((Field::root(value.kept_in(self.arena), self.arena), self.text(request.namespace)))
    }

    fn name(&mut self, name: Name<'_>) -> Name<'a> {
        Name { namespace: self.text(name.namespace), name: self.text(name.name), kind: self.text(name.kind) }
    }

    /// A text, kept once however often it is said.
    fn text(&mut self, text: &str) -> &'a str {
        if let Some(kept) = self.texts.get(text) {
            return kept;
        }
        let kept = self.arena.text(text);
        self.texts.insert(kept);
        kept
    }
}

/// Whether an object of a kind that is not known has a template for pods where all do.
fn makes_pods(object: Field<'_>) -> bool {
    let containers = object.at("spec.template.spec.containers");
    containers.items().is_ok_and(|containers| containers.len() > 0)
}
