//! Traffic from outside of the cluster: the backends of Gateways and Ingresses, and Services of exposed types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::compile::PodClass;
use crate::entry_pods::INGRESS_CONTROLLER;
use crate::map::Map;
use crate::service::ServiceEntry;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::Direction;
use policy_kubernetes::network_policy::{Block, Range};
use policy_kubernetes::ports::{FIRST, LAST, Ports, Protocol};
use policy_kubernetes::service::PortReference;

/// A port of an exposed Service, with the clients that may connect and the pods that they reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposedPort<'a> {
    /// `LoadBalancer` or `NodePort`.
    pub kind: &'a str,
    /// The Service's namespace.
    pub namespace: &'a str,
    /// The Service's name.
    pub service: &'a str,
    /// The workload that it selects.
    pub to: WorkloadName<'a>,
    /// The addresses of the clients.
    pub from: Range,
    /// The target ports of the workload's pods.
    pub ports: Ports,
}

/// `the LoadBalancer Service shop/web exposes shop/web[Deployment] to 0.0.0.0-255.255.255.255 on TCP 8080`.
impl fmt::Display for ExposedPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExposedPort { kind, namespace, service, to, from, ports } = self;
        write!(f, "the {kind} Service {namespace}/{service} exposes {to} to {from} on {ports}")
    }
}

impl<'w, 'a> Map<'w, 'a> {
    /// The allowed connections from Gateways and ingress controllers to backends: indices of source and destination, and ports.
    pub(crate) fn entries(&self) -> Vec<(usize, usize, Ports)> {
        let mut entries = Vec::new();
        self.lead(|from, to, _, ports| {
            let allowed = self.between(from, to).unwrap_or_else(Ports::all).intersection(ports);
            entries.push((from, to, allowed));
        });
        entries
    }

    /// Describes routes and Ingresses that NetworkPolicies block, or that refer to missing Services or ports.
    pub fn blocked(&self) -> Vec<String> {
        let mut blocked = BTreeSet::new();
        self.lead(|from, to, route, ports| {
            let (Some(caller), Some(callee)) = (self.pods.get(from), self.pods.get(to)) else { return };
            let left = ports.without(&self.between(from, to).unwrap_or_else(Ports::all));
            if !left.is_empty() {
                blocked.insert(format!(
                    "{route} forwards from {} to {} on {left}, but no NetworkPolicy allows it",
                    caller.end(),
                    callee.end()
                ));
            }
        });
        for backends in self.topology.backends() {
            for (namespace, service, port) in &backends.services {
                let wrong = match self.topology.service(namespace, service) {
                    None => "which is not in the manifests",
                    Some(service) if !service.has(*port) => "which does not have that port",
                    Some(_) => continue,
                };
                let route = backends.name;
                blocked.insert(format!("{route} refers to the Service {namespace}/{service}, {wrong}"));
            }
        }
        blocked.into_iter().collect()
    }

    /// Calls `step` for each route, entry pod and backend pod, with the ports of the backend.
    fn lead(&self, mut step: impl FnMut(usize, usize, WorkloadName<'a>, &Ports)) {
        for backends in self.topology.backends() {
            let protocol = if backends.name.kind == "UDPRoute" { Protocol::Udp } else { Protocol::Tcp };
            let carried = Ports::range(protocol, FIRST, LAST);
            let gateways = backends.gateways.iter();
            let mut doors: Vec<WorkloadName<'_>> =
                gateways.map(|(namespace, name)| WorkloadName { namespace, name, kind: "Gateway" }).collect();
            if backends.name.kind == "Ingress" {
                doors.push(INGRESS_CONTROLLER);
            }
            for (namespace, service, port) in &backends.services {
                let Some(service) = self.topology.service(namespace, service) else { continue };
                for (to, callee) in self.served_by(service) {
                    let ports = service.targets(*port, &callee.workload).intersection(&carried);
                    for from in doors.iter().flat_map(|door| self.pods_of(*door)) {
                        step(from, to, backends.name, &ports);
                    }
                }
            }
        }
    }

    /// The workloads behind a port of a Service, and the ports of their pods; `None` if the Service does not exist.
    pub fn behind(
        &self,
        namespace: &'a str,
        service: &'a str,
        port: u16,
    ) -> Option<BTreeMap<WorkloadName<'a>, Ports>> {
        let service = self.topology.service(namespace, service)?;
        let mut behind: BTreeMap<WorkloadName<'a>, Ports> = BTreeMap::new();
        for (_, callee) in self.served_by(service) {
            let ports = service.ports_for_client(port, &callee.workload);
            behind.entry(callee.workload.name).or_default().unite(&ports);
        }
        Some(behind)
    }

    /// The pods that a Service selects, by index.
    fn served_by<'m>(
        &'m self,
        service: &'m ServiceEntry<'a>,
    ) -> impl Iterator<Item = (usize, &'m PodClass<'a>)> {
        let numbered = self.pods.iter().enumerate();
        numbered.filter(|(_, pod)| !pod.enters && service.selects(&pod.workload))
    }

    /// The Gateways in the manifests, and the ports of their listeners.
    pub fn gateways(&self) -> impl Iterator<Item = (WorkloadName<'a>, &Ports)> {
        self.topology.gateways()
    }

    /// The ports that Services expose to the outside and that NetworkPolicies allow.
    pub fn openings(&self) -> Vec<ExposedPort<'a>> {
        let mut openings = Vec::new();
        let everywhere = [Block::everything()];
        for service in self.topology.services().filter(|service| service.is_exposed()) {
            let sources = if service.sources.is_empty() { everywhere.iter() } else { service.sources.iter() };
            let service_sources = Block::all_of(sources);
            for (_, callee) in self.served_by(service) {
                let targets = service.targets(PortReference::Any, &callee.workload);
                for (i, from) in self.ranges.from.iter().enumerate() {
                    let into = self.through(callee.allowed(Direction::Ingress), callee.named(), |r| {
                        r.ranges.contains(i)
                    });
                    let ports = into.unwrap_or_else(Ports::all).intersection(&targets);
                    if !ports.is_empty() {
                        let (kind, namespace) = (service.service_type, service.namespace);
                        let (service, to) = (service.name, callee.workload.name);
                        let sources = service_sources.within(from);
                        let opening =
                            |from| ExposedPort { kind, namespace, service, to, from, ports: ports.clone() };
                        openings.extend(sources.map(opening));
                    }
                }
            }
        }
        openings
    }
}
