//! Adds objects to a topology.

use policy_core::{Field, Request, Undecided, Value};
use policy_kubernetes::namespace::namespace_labels;

use super::Topology;
use crate::service::ServiceEntry;
use crate::workload::Workload;
use policy_kubernetes::network_policy::NetworkPolicy;
use policy_kubernetes::ports::NamedPort;
use policy_kubernetes::route::{Gateway, RouteBackends};
use policy_kubernetes::workloads::owner_of;
use policy_kubernetes::{Labels, WorkloadName};

/// Other policy kinds that restrict traffic. They are not supported.
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

impl<'a> Topology<'a> {
    /// Adds the object of a request, if it is relevant for the map. `origin` is the caller's identifier for its source.
    ///
    /// # Errors
    /// The object is not valid, or differs from another object of the same name.
    pub fn add(&mut self, request: &Request<'_>, origin: usize) -> Result<(), Undecided> {
        let (group, kind) = (request.kind.group, request.kind.kind);
        match (group, kind) {
            ("", "Namespace") => {
                let (object, _) = self.keep(request)?;
                let name = self.once(request, object.at("metadata.labels"))?;
                self.namespaces.insert(name, namespace_labels(Some(object), name)?);
            }
            ("networking.k8s.io", "NetworkPolicy") => {
                let (object, namespace) = self.keep(request)?;
                let mut policy = NetworkPolicy::read(object, namespace)?;
                self.once(request, object.at("spec"))?;
                if policy.name.is_empty() {
                    // The API server generates a unique name for each.
                    let generated = format!("{}{origin}", object.at("metadata.generateName").text()?);
                    policy.name = self.text(&generated);
                }
                self.policies.entry((namespace, policy.name)).or_insert((policy, origin));
            }
            ("", "Service") => {
                let (object, namespace) = self.keep(request)?;
                let service = ServiceEntry::read(object, namespace)?;
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
                self.backends.push(RouteBackends::read(object, kind, namespace, &mut self.notes)?);
            }
            _ => self.add_other(request)?,
        }
        Ok(())
    }

    /// Adds an object that may be a workload, or a policy of another kind.
    fn add_other(&mut self, request: &Request<'_>) -> Result<(), Undecided> {
        let (group, kind) = (request.kind.group, request.kind.kind);
        let is_other_policy = OTHER_POLICIES.contains(&(group, kind));
        if kind.eq_ignore_ascii_case("NetworkPolicy") && !is_other_policy {
            let version = request.object.at("apiVersion");
            return Err(version.undecided("must be networking.k8s.io/v1 for a NetworkPolicy"));
        }
        if is_other_policy {
            let name = request.display_name()?;
            self.notes.push(format!("{kind}.{group} {name} is not supported: the map ignores its rules"));
        } else if !self.add_workload(request)? && has_pod_template(request.object) {
            let (name, namespace) = (request.display_name()?, request.namespace);
            self.notes.push(format!(
                "{kind}.{group} {namespace}/{name} is not a known workload kind: the map ignores its pods"
            ));
        }
        Ok(())
    }

    /// Records the contents of an object and returns its name.
    ///
    /// # Errors
    /// Another object of the same name has other contents, so it is unclear which of them applies.
    fn once(&mut self, request: &Request<'_>, says: Field<'a>) -> Result<&'a str, Undecided> {
        let name = self.text(request.object.at("metadata.name").text()?);
        let key = (self.text(request.kind.kind), self.text(request.namespace), name);
        let says = says.value()?.copied().unwrap_or(Value::Null);
        match self.message.get(&key) {
            Some(known) if *known != says && !name.is_empty() => {
                let reason = format!(
                    "must be unique: another {} of this name differs; a map covers one cluster, so pass only one environment",
                    request.kind.kind
                );
                Err(request.object.at("metadata.name").undecided(reason))
            }
            _ => {
                self.message.insert(key, says);
                Ok(name)
            }
        }
    }

    /// Adds the pods of an object; returns false if it is not a workload.
    fn add_workload(&mut self, request: &Request<'_>) -> Result<bool, Undecided> {
        if !Workload::is_one(request, self.kinds) {
            return Ok(false);
        }
        let Some(read) = Workload::read(request, self.kinds, &mut self.notes)? else { return Ok(true) };
        let own = WorkloadName {
            namespace: request.namespace,
            name: request.display_name()?,
            kind: request.kind.kind,
        };
        if request.kind.kind != "Pod" && owner_of(request.object)?.is_some() {
            let (own, by) = (self.name(own), self.name(read.name));
            self.owners.insert(own, by);
        }
        self.add_pods(&read);
        Ok(true)
    }

    /// Adds pods that are not in the manifests, such as those of a Helm chart.
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

    /// Adds labels to the pods of a Gateway, in addition to those that the Gateway API sets.
    pub fn add_gateway_labels(&mut self, name: WorkloadName<'_>, labels: &Labels<'_>) {
        let key = (self.text(name.namespace), self.text(name.name));
        let labels: Vec<_> = labels.iter().map(|(k, v)| (self.text(k), self.text(v))).collect();
        let gateway = self.gateways.entry(key).or_insert_with(|| Gateway::named(key.1));
        for (key, value) in labels {
            gateway.labels.add(key, value);
        }
    }

    /// Copies the object of a request and its namespace into the arena.
    fn keep(&mut self, request: &Request<'_>) -> Result<(Field<'a>, &'a str), Undecided> {
        let value = request.object.value()?.copied().unwrap_or(Value::Null);
        Ok((Field::root(value.copy_to(self.arena), self.arena), self.text(request.namespace)))
    }

    fn name(&mut self, name: WorkloadName<'_>) -> WorkloadName<'a> {
        WorkloadName {
            namespace: self.text(name.namespace),
            name: self.text(name.name),
            kind: self.text(name.kind),
        }
    }

    /// Copies a text into the arena, once for equal texts.
    fn text(&mut self, text: &str) -> &'a str {
        if let Some(kept) = self.texts.get(text) {
            return kept;
        }
        let kept = self.arena.text(text);
        self.texts.insert(kept);
        kept
    }
}

/// Whether an object of an unknown kind has a pod template in the usual place.
fn has_pod_template(object: Field<'_>) -> bool {
    let containers = object.at("spec.template.spec.containers");
    containers.items().is_ok_and(|containers| containers.len() > 0)
}
