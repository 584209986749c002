//! Gateways, routes and Ingresses: the pods through which traffic enters, and the Services that receive it.

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

use crate::ports::{Ports, Protocol, port_number};
use crate::selector::Labels;
use crate::service::PortReference;
use crate::workloads::WorkloadName;

/// The label of the pods that implement a Gateway (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// A Gateway (gateway.networking.k8s.io).
#[derive(Clone, Debug)]
pub struct Gateway<'a> {
    /// Its name.
    pub name: &'a str,
    /// The labels of its pods, which are in its namespace.
    pub labels: Labels<'a>,
    /// The ports of its listeners.
    pub listens: Ports,
}

impl<'a> Gateway<'a> {
    /// A Gateway of which only the name is known.
    pub fn named(name: &'a str) -> Self {
        Gateway { name, labels: [(GATEWAY_NAME, name)].into_iter().collect(), listens: Ports::default() }
    }

    /// Reads a Gateway.
    ///
    /// # Errors
    /// The Gateway is not valid.
    pub fn read(object: Field<'a>) -> Result<Self, Undecided> {
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

/// A route or an Ingress: its Gateways and the Services behind it.
#[derive(Clone, Debug)]
pub struct RouteBackends<'a> {
    /// Its name.
    pub name: WorkloadName<'a>,
    /// The parent Gateways, by namespace and name; empty for an Ingress, because any controller may serve it.
    pub gateways: Vec<(&'a str, &'a str)>,
    /// The backend Services: namespace, name and requested port.
    pub services: Vec<(&'a str, &'a str, PortReference<'a>)>,
}

impl<'a> RouteBackends<'a> {
    /// Reads a route or an Ingress, and adds a note for each backend of an unsupported kind.
    ///
    /// # Errors
    /// The object is not valid.
    pub fn read(
        object: Field<'a>,
        kind: &'a str,
        namespace: &'a str,
        notes: &mut Vec<String>,
    ) -> Result<Self, Undecided> {
        let name = WorkloadName { namespace, name: object.at("metadata.name").text()?, kind };
        let spec = object.at("spec");
        let mut backends = RouteBackends { name, gateways: Vec::new(), services: Vec::new() };
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
                let port = match port.at("name").str()? {
                    Some(name) => PortReference::Name(name),
                    None => PortReference::read(port.at("number"))?,
                };
                self.services.push((self.name.namespace, service.at("name").text()?, port));
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
                        "{} routes to {} `{}`, which is not supported",
                        self.name,
                        excerpt(kind),
                        excerpt(to)
                    ));
                } else {
                    let there = reference.at("namespace").str()?.unwrap_or(here);
                    let port = PortReference::read(reference.at("port"))?;
                    self.services.push((there, reference.at("name").text()?, port));
                }
            }
        }
        Ok(())
    }
}
