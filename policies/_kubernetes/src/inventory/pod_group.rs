//! The pods of a workload, as Services, monitors and autoscalers see them.

use policy_core::path::excerpt;
use policy_core::{Field, Request, Undecided, Value};

use super::{ListedObject, display};
use crate::pod::{Container, Pod};
use crate::ports::{NamedPort, Protocol};
use crate::selector::Labels;
use crate::workloads::{labels_of_pods, owner_of};

/// The pods of a workload, which are all alike.
#[derive(Clone, Debug)]
pub struct PodGroup<'a> {
    /// The kind of the workload, or `Pod`.
    pub kind: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The name of the workload or the pod.
    pub name: &'a str,
    /// The labels of the pods.
    pub labels: Labels<'a>,
    /// The containers that run as long as the pods do.
    pub containers: Vec<RunningContainer<'a>>,
    /// The pod-level resources; missing for pods that the set does not contain.
    pub resources: Field<'a>,
}

/// A container that runs as long as its pod does.
#[derive(Clone, Debug)]
pub struct RunningContainer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// The container; missing for pods that the set does not contain.
    pub field: Field<'a>,
    /// Its TCP ports, by name and number.
    pub ports: Vec<(&'a str, u16)>,
}

impl<'a> PodGroup<'a> {
    pub(super) fn read(object: ListedObject<'a>, template: Field<'a>) -> Result<Self, Undecided> {
        let pod = Pod::at(template)?;
        let mut containers = Vec::new();
        for container in pod.running_containers()? {
            containers.push(RunningContainer::read(&container)?);
        }
        let ListedObject { kind, namespace, name, .. } = object;
        let labels = labels_of_pods(kind, name, pod.metadata.at("labels"))?;
        Ok(PodGroup { kind, namespace, name, labels, containers, resources: pod.spec.at("resources") })
    }

    /// The pod in a request.
    ///
    /// # Errors
    /// The pod is not valid.
    pub fn of_request(request: &Request<'a>) -> Result<Self, Undecided> {
        let (namespace, name) = (request.namespace, request.display_name()?);
        let object = ListedObject { kind: "Pod", namespace, name, field: request.object };
        let mut pods = PodGroup::read(object, request.object)?;
        if let Some(owner) = owner_of(request.object)? {
            pods.labels = labels_of_pods(owner.kind, owner.name, request.object.at("metadata.labels"))?;
        }
        Ok(pods)
    }

    /// `Deployment shop/api`.
    pub fn display(&self) -> String {
        display(self.kind, self.namespace, self.name)
    }

    /// The TCP ports with their names, as NetworkPolicies refer to them.
    pub fn named_ports(&self) -> Vec<NamedPort<'a>> {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        ports.map(|(name, number)| NamedPort { name, protocol: Protocol::Tcp, number: *number }).collect()
    }

    /// The container that declares the port with that name or number, and the number of the port.
    pub fn port(&self, reference: Value<'_>) -> Option<(&RunningContainer<'a>, u16)> {
        self.containers.iter().find_map(|container| {
            let is_it = |(name, number): &&(&str, u16)| match reference {
                Value::String(reference) => *name == reference,
                other => other.to_string() == number.to_string(),
            };
            container.ports.iter().find(is_it).map(|(_, number)| (container, *number))
        })
    }

    /// The container and number of the target port of a Service. Kubernetes does not require that a port number is declared. But
    /// if the pod declares ports, an undeclared number is treated as a mistake.
    pub fn target(&self, reference: Value<'_>) -> Option<(&RunningContainer<'a>, u16)> {
        let declares = self.containers.iter().any(|container| !container.ports.is_empty());
        match reference {
            Value::String(_) => self.port(reference),
            _ if declares => self.port(reference),
            number => Some((self.containers.first()?, number.to_string().parse().ok()?)),
        }
    }

    /// The declared ports, for a message.
    pub fn ports_display(&self) -> String {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        let shown: Vec<String> =
            ports.map(|(name, number)| format!("`{}` ({number})", excerpt(name))).collect();
        if shown.is_empty() { "no port".to_owned() } else { shown.join(", ") }
    }
}

impl<'a> RunningContainer<'a> {
    fn read(container: &Container<'a>) -> Result<Self, Undecided> {
        let mut ports = Vec::new();
        for port in container.ports()? {
            // Prometheus scrapes metrics over TCP.
            if !port.is_tcp()? {
                continue;
            }
            let missing = || port.field.at("containerPort").undecided("must be from 1 to 65535");
            ports.push((port.name()?, port.number()?.ok_or_else(missing)?));
        }
        Ok(RunningContainer {
            name: container.name()?,
            image: container.image()?,
            field: container.field,
            ports,
        })
    }
}
