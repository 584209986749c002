//! Services: the pods that they select, and their target ports.

use policy_core::{Field, Undecided, Value};

use crate::pod::is_tcp;
use crate::ports::{NamedPort, Ports, Protocol, port_number};
use crate::selector::Labels;

/// A Service.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// Its namespace, which is also that of the pods that it selects.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The object.
    pub field: Field<'a>,
}

impl<'a> Service<'a> {
    /// Creates a view of a Service object.
    ///
    /// # Errors
    /// Its name is not a string.
    pub fn new(object: Field<'a>, namespace: &'a str) -> Result<Self, Undecided> {
        Ok(Service { namespace, name: object.at("metadata.name").text()?, field: object })
    }

    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    ///
    /// # Errors
    /// `spec.type` is not a string.
    pub fn service_type(self) -> Result<&'a str, Undecided> {
        Ok(self.field.at("spec.type").str()?.unwrap_or("ClusterIP"))
    }

    /// Whether it is headless: it has no address of its own, and clients connect to the pods directly, on a port of their choice.
    ///
    /// # Errors
    /// `spec.clusterIP` is not a string.
    pub fn is_headless(self) -> Result<bool, Undecided> {
        Ok(self.field.at("spec.clusterIP").str()? == Some("None"))
    }

    /// Whether it has a selector. Without one, the EndpointSlices or Endpoints for its name define its endpoints.
    ///
    /// # Errors
    /// `spec.selector` is not an object.
    pub fn has_selector(self) -> Result<bool, Undecided> {
        Ok(self.field.at("spec.selector").members()?.len() > 0)
    }

    /// Whether it selects a pod with these labels in its namespace.
    ///
    /// # Errors
    /// The selector is not valid.
    pub fn selects(self, labels: &Labels<'_>) -> Result<bool, Undecided> {
        Ok(self.selector()?.matches(labels))
    }

    /// Its selector, read once and compared with many pods.
    ///
    /// # Errors
    /// `spec.selector` is not an object of strings.
    pub fn selector(self) -> Result<ServiceSelector<'a>, Undecided> {
        Ok(ServiceSelector(Labels::of(self.field.at("spec.selector"))?))
    }

    /// Its ports.
    ///
    /// # Errors
    /// `spec.ports` is not a list.
    pub fn ports(self) -> Result<impl ExactSizeIterator<Item = ServicePort<'a>>, Undecided> {
        Ok(self.field.at("spec.ports").items()?.map(|field| ServicePort { field }))
    }
}

/// The labels by which a Service selects pods (`spec.selector`).
#[derive(Clone, Debug)]
pub struct ServiceSelector<'a>(Labels<'a>);

impl<'a> ServiceSelector<'a> {
    /// Whether it matches a pod with these labels in the Service's namespace. An empty selector matches no pod.
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        !self.0.is_empty() && labels.contain(&self.0)
    }

    /// The keys of the compared labels.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(key, _)| key)
    }
}

/// A port of a Service.
#[derive(Clone, Copy, Debug)]
pub struct ServicePort<'a> {
    /// The entry in `spec.ports`.
    pub field: Field<'a>,
}

impl<'a> ServicePort<'a> {
    /// The name; empty if it has none.
    ///
    /// # Errors
    /// `name` is not a string.
    pub fn name(self) -> Result<&'a str, Undecided> {
        self.field.at("name").text()
    }

    /// The port number of the Service.
    ///
    /// # Errors
    /// The number is not a valid port.
    pub fn number(self) -> Result<u16, Undecided> {
        port_number(self.field.at("port"))
    }

    /// The protocol.
    ///
    /// # Errors
    /// The value is not a known protocol.
    pub fn protocol(self) -> Result<Protocol, Undecided> {
        Protocol::read(self.field.at("protocol"))
    }

    /// Whether it is a TCP port. TCP is the default protocol.
    ///
    /// # Errors
    /// `protocol` is not a string.
    pub fn is_tcp(self) -> Result<bool, Undecided> {
        is_tcp(self.field)
    }

    /// The field that refers to the port of the pods: `targetPort`, or `port` if `targetPort` is not set.
    ///
    /// # Errors
    /// The entry is not an object.
    pub fn target(self) -> Result<Field<'a>, Undecided> {
        let target = self.field.at("targetPort");
        Ok(match target.value()? {
            // The API server replaces these values with `port`.
            None | Some(Value::String("") | Value::Int(0)) => self.field.at("port"),
            Some(_) => target,
        })
    }

    /// The port of the pods that receives the traffic.
    ///
    /// # Errors
    /// The number is not a valid port.
    pub fn target_port(self) -> Result<PortReference<'a>, Undecided> {
        PortReference::read(self.target()?)
    }
}

/// A reference to a port of a pod or a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReference<'a> {
    /// By number.
    Number(u16),
    /// By name.
    Name(&'a str),
    /// Every port, because the reference names none.
    Any,
}

impl<'a> PortReference<'a> {
    /// Reads a name or a number. A field that is not set refers to every port.
    ///
    /// # Errors
    /// The number is not a valid port.
    pub fn read(port: Field<'a>) -> Result<Self, Undecided> {
        Ok(match port.value()? {
            None | Some(Value::String("") | Value::Int(0)) => PortReference::Any,
            Some(Value::String(name)) => PortReference::Name(name),
            Some(_) => PortReference::Number(port_number(port)?),
        })
    }

    /// Whether it refers to the port with that name and number.
    pub fn is(self, name: &str, number: u16) -> bool {
        match self {
            PortReference::Any => true,
            PortReference::Number(own) => own == number,
            PortReference::Name(own) => own == name,
        }
    }

    /// The ports of a pod and protocol that it refers to. A name must be declared by a container, a number need not be.
    pub fn resolve(self, protocol: Protocol, named: &[NamedPort<'_>]) -> Ports {
        match self {
            PortReference::Number(number) => Ports::range(protocol, number, number),
            PortReference::Name(name) => Ports::of(
                named
                    .iter()
                    .filter(|port| port.name == name && port.protocol == protocol)
                    .map(|port| (port.protocol, port.number, port.number)),
            ),
            PortReference::Any => Ports::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::Arena;

    #[test]
    fn an_empty_selector_matches_no_pod() {
        let arena = Arena::new();
        let labels: Labels<'_> = [("app", "web"), ("tier", "front")].into_iter().collect();
        for (service, expected) in [
            ("{}", false),
            (r#"{"spec":{"selector":{}}}"#, false),
            (r#"{"spec":{"selector":{"app":"web"}}}"#, true),
            (r#"{"spec":{"selector":{"app":"web","tier":"back"}}}"#, false),
            (r#"{"spec":{"selector":{"app":"web","zone":""}}}"#, false),
        ] {
            let object = Field::root(Value::from_json(service.as_bytes(), &arena).unwrap(), &arena);
            let service = Service::new(object, "shop").unwrap();
            assert_eq!(service.selects(&labels).unwrap(), expected, "{:?}", object.value());
        }
    }
}
