//! Where traffic enters: Services that are open to the outside, Gateways with their routes, Ingresses; and what a Service
//! leads to.

use policy_core::path::excerpt;
use policy_core::{Field, Labels, Undecided, Value};

use crate::address::Block;
use crate::ports::{Ports, Protocol};
use crate::rule::port_number;
use crate::workload::{Name, Workload};

/// The label that the pods have of which a Gateway is made (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// A Service.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// Where it is.
    pub namespace: &'a str,
    /// What it is called.
    pub name: &'a str,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: &'a str,
    selector: Vec<(&'a str, &'a str)>,
    ports: Vec<ServicePort<'a>>,
    /// Whether it has addresses of its own outside of the cluster (`externalIPs`).
    has_address: bool,
    /// From where a load balancer lets in; from everywhere, if there is none.
    pub(crate) sources: Vec<Block>,
}

#[derive(Clone, Debug)]
struct ServicePort<'a> {
    name: &'a str,
    number: u16,
    protocol: Protocol,
    target: Target<'a>,
}

impl ServicePort<'_> {
    fn is(&self, asked: Target<'_>) -> bool {
        match asked {
            Target::Any => true,
            Target::Number(number) => self.number == number,
            Target::Name(name) => self.name == name,
        }
    }
}

/// A port, by number or by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// By number.
    Number(u16),
    /// By name.
    Name(&'a str),
    /// Any that there is.
    Any,
}

impl<'a> Target<'a> {
    fn read(port: Field<'a>) -> Result<Self, Undecided> {
        Ok(match port.value()? {
            // The API server fills in what is left at nothing.
            None | Some(Value::String("") | Value::Int(0)) => Target::Any,
            Some(Value::String(name)) => Target::Name(name),
            Some(_) => Target::Number(port_number(port)?),
        })
    }
}

impl<'a> Service<'a> {
    pub(crate) fn read(object: Field<'a>, namespace: &'a str) -> Result<Self, Undecided> {
        let spec = object.at("spec");
        let mut ports = Vec::new();
        for port in spec.at("ports").items()? {
            let number = port_number(port.at("port"))?;
            let target = match Target::read(port.at("targetPort"))? {
                Target::Any => Target::Number(number),
                target => target,
            };
            let (name, protocol) = (port.at("name").text()?, Protocol::read(port.at("protocol"))?);
            ports.push(ServicePort { name, number, protocol, target });
        }
        Ok(Service {
            namespace,
            name: object.at("metadata.name").text()?,
            kind: spec.at("type").str()?.unwrap_or("ClusterIP"),
            selector: Labels::of(spec.at("selector"))?.iter().collect(),
            ports,
            has_address: spec.at("externalIPs").items()?.len() > 0,
            sources: spec
                .at("loadBalancerSourceRanges")
                .items()?
                .map(Block::of_cidr)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether somebody outside of the cluster can call it: of type LoadBalancer or NodePort, or with addresses of its own there.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.kind, "LoadBalancer" | "NodePort") || self.has_address
    }

    /// The keys of labels that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.selector.iter().map(|(key, _)| *key)
    }

    /// Whether it leads to pods of that workload.
    pub(crate) fn selects(&self, workload: &Workload<'_>) -> bool {
        workload.name.namespace == self.namespace
            && !self.selector.is_empty()
            && self.selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
    }

    /// Whether it has that port.
    pub(crate) fn has(&self, asked: Target<'_>) -> bool {
        self.ports.iter().any(|port| port.is(asked))
    }

    /// The ports of the pods of a workload to which that port of the Service leads.
    pub(crate) fn targets(&self, asked: Target<'_>, workload: &Workload<'_>) -> Ports {
        let mut ports = Ports::default();
        for port in self.ports.iter().filter(|port| port.is(asked)) {
            match port.target {
                Target::Number(number) => ports.add(port.protocol, number, number),
                Target::Name(name) => {
                    let named =
                        workload.ports.iter().filter(|p| p.name == name && p.protocol == port.protocol);
                    named.for_each(|named| ports.add(named.protocol, named.number, named.number));
                }
                Target::Any => {}
            }
        }
        ports
    }
}

/// A Gateway (gateway.networking.k8s.io).
#[derive(Clone, Debug)]
pub(crate) struct Gateway<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The labels of its pods, which are in its namespace.
    pub labels: Labels<'a>,
    /// The ports at which it listens to the outside.
    pub listens: Ports,
}

impl<'a> Gateway<'a> {
    /// One of which nothing is known but its name.
    pub(crate) fn named(name: &'a str) -> Self {
        Gateway { name, labels: [(GATEWAY_NAME, name)].into_iter().collect(), listens: Ports::default() }
    }

    pub(crate) fn read(object: Field<'a>) -> Result<Self, Undecided> {
        let mut gateway = Gateway::named(object.at("metadata.name").text()?);
        for (key, value) in Labels::of(object.at("spec.infrastructure.labels"))?.iter() {
            gateway.labels.add(key, value);
        }
        for listener in object.at("spec.listeners").items()? {
            let port = listener.at("port");
            if port.is_set()? {
                let udp = listener.at("protocol").str()? == Some("UDP");
                let number = port_number(port)?;
                gateway.listens.add(if udp { Protocol::Udp } else { Protocol::Tcp }, number, number);
            }
        }
        Ok(gateway)
    }
}

/// A route or an Ingress: who leads to which Services.
#[derive(Clone, Debug)]
pub(crate) struct Backends<'a> {
    /// What it is called.
    pub name: Name<'a>,
    /// The Gateways that lead there, by namespace and name; of an Ingress none: its controller is anybody's.
    pub gateways: Vec<(&'a str, &'a str)>,
    /// The Services, by namespace and name, each with the port that is asked for.
    pub services: Vec<(&'a str, &'a str, Target<'a>)>,
}

impl<'a> Backends<'a> {
    pub(crate) fn read(
        object: Field<'a>,
        kind: &'a str,
        namespace: &'a str,
        notes: &mut Vec<String>,
    ) -> Result<Self, Undecided> {
        let name = Name { namespace, name: object.at("metadata.name").text()?, kind };
        let spec = object.at("spec");
        let mut backends = Backends { name, gateways: Vec::new(), services: Vec::new() };
        if kind == "Ingress" {
            backends.add_ingress(spec)?;
        } else {
            backends.add_route(spec, notes)?;
        }
        Ok(backends)
    }

    fn add_ingress(&mut self, spec: Field<'a>) -> Result<(), Undecided> {
        let mut backends = vec![spec.at("defaultBackend")];
        for rule in spec.at("rules").items()? {
            backends.extend(rule.at("http.paths").items()?.map(|path| path.at("backend")));
        }
        for service in backends.into_iter().map(|backend| backend.at("service")) {
            if service.is_set()? {
                let port = service.at("port");
                let asked = match port.at("name").str()? {
                    Some(name) => Target::Name(name),
                    None => Target::read(port.at("number"))?,
                };
                self.services.push((self.name.namespace, service.at("name").text()?, asked));
            }
        }
        Ok(())
    }

    fn add_route(&mut self, spec: Field<'a>, notes: &mut Vec<String>) -> Result<(), Undecided> {
        let here = self.name.namespace;
        for parent in spec.at("parentRefs").items()? {
            if parent.at("kind").str()?.unwrap_or("Gateway") == "Gateway" {
                let there = parent.at("namespace").str()?.unwrap_or(here);
                self.gateways.push((there, parent.at("name").text()?));
            }
        }
        for rule in spec.at("rules").items()? {
            let mut references: Vec<Field<'a>> = rule.at("backendRefs").items()?.collect();
            for filter in rule.at("filters").items()? {
                references.push(filter.at("requestMirror.backendRef"));
            }
            for reference in references {
                if !reference.is_set()? {
                    continue;
                }
                let kind = reference.at("kind").str()?.unwrap_or("Service");
                if kind != "Service" {
                    let to = reference.at("name").text()?;
                    notes.push(format!(
                        "{} leads to {} `{}`, which is not read",
                        self.name,
                        excerpt(kind),
                        excerpt(to)
                    ));
                } else {
                    let there = reference.at("namespace").str()?.unwrap_or(here);
                    let asked = Target::read(reference.at("port"))?;
                    self.services.push((there, reference.at("name").text()?, asked));
                }
            }
        }
        Ok(())
    }
}
