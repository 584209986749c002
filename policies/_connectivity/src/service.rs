//! The fields of a Service that the map needs, decoded once and matched against every workload.

use policy_core::{Field, Undecided};
use policy_kubernetes::network_policy::Block;
use policy_kubernetes::ports::{Ports, Protocol};
use policy_kubernetes::service::{PortReference, Service, ServiceSelector};

use crate::workload::Workload;

/// The decoded fields of a Service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEntry<'a> {
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub(crate) service_type: &'a str,
    selector: ServiceSelector<'a>,
    ports: Vec<EntryPort<'a>>,
    /// Whether clients connect to the pods directly, so that no port is mapped to another.
    headless: bool,
    /// Whether it has external addresses (`externalIPs`).
    has_address: bool,
    /// The client addresses that the load balancer allows; if empty, all addresses.
    pub(crate) sources: Vec<Block>,
}

#[derive(Clone, Debug)]
struct EntryPort<'a> {
    name: &'a str,
    number: u16,
    protocol: Protocol,
    target: PortReference<'a>,
}

impl<'a> ServiceEntry<'a> {
    pub(crate) fn read(object: Field<'a>, namespace: &'a str) -> Result<Self, Undecided> {
        let service = Service::new(object, namespace)?;
        let spec = object.at("spec");
        let mut ports = Vec::new();
        for port in service.ports()? {
            ports.push(EntryPort {
                name: port.name()?,
                number: port.number()?,
                protocol: port.protocol()?,
                target: port.target_port()?,
            });
        }
        Ok(ServiceEntry {
            namespace,
            name: service.name,
            service_type: service.service_type()?,
            selector: service.selector()?,
            ports,
            headless: service.is_headless()?,
            has_address: spec.at("externalIPs").items()?.len() > 0,
            sources: spec
                .at("loadBalancerSourceRanges")
                .items()?
                .map(Block::of_cidr)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether clients outside of the cluster can connect: it is a LoadBalancer or NodePort, or has external addresses.
    pub(crate) fn is_exposed(&self) -> bool {
        matches!(self.service_type, "LoadBalancer" | "NodePort") || self.has_address
    }

    /// The label keys of its selector.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.selector.keys()
    }

    /// Whether it selects the pods of that workload.
    pub(crate) fn selects(&self, workload: &Workload<'_>) -> bool {
        workload.name.namespace == self.namespace && self.selector.matches(&workload.labels)
    }

    /// Whether it has that port.
    pub(crate) fn has(&self, port: PortReference<'_>) -> bool {
        self.ports.iter().any(|own| port.is(own.name, own.number))
    }

    /// The ports of a workload's pods to which EndpointSlices map that port: where a Gateway or a load balancer sends traffic.
    pub(crate) fn targets(&self, port: PortReference<'_>, workload: &Workload<'_>) -> Ports {
        let mut ports = Ports::default();
        for own in self.ports.iter().filter(|own| port.is(own.name, own.number)) {
            ports.unite(&own.target.resolve(own.protocol, &workload.ports));
        }
        ports
    }

    /// The ports of a workload's pods that a client of that Service port reaches. A headless Service does not map ports: the
    /// client resolves its name to the addresses of the pods and connects to them on the same port.
    pub(crate) fn ports_for_client(&self, number: u16, workload: &Workload<'_>) -> Ports {
        if !self.headless {
            return self.targets(PortReference::Number(number), workload);
        }
        Ports::of(Protocol::ALL.map(|protocol| (protocol, number, number)))
    }
}
