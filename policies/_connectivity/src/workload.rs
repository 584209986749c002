//! The pods that policies are about: of a workload's template, or as they run.

use std::fmt;

use policy_core::path::{excerpt, printable};
use policy_core::pod::Pod;
use policy_core::workload::template_of;
use policy_core::{Field, Labels, Request, Undecided};

use crate::ports::Protocol;
use crate::rule::{NamedPort, port_number};

/// Pods that are alike to a NetworkPolicy, under the name of whoever makes them.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// Who makes them.
    pub name: Name<'a>,
    /// Their labels.
    pub labels: Labels<'a>,
    /// Those of their ports that have names.
    pub ports: Vec<NamedPort<'a>>,
    /// Whether they are on the network of their node, where NetworkPolicies may or may not apply to them.
    pub host_network: bool,
}

/// What a workload is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a> {
    /// `shop`.
    pub namespace: &'a str,
    /// `web`.
    pub name: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
}

/// `shop/web[Deployment]`.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { namespace, name, kind } = self;
        write!(f, "{}/{}[{}]", printable(namespace), printable(name), printable(kind))
    }
}

impl<'a> Workload<'a> {
    /// Whether the object of a request is a pod or makes pods.
    pub fn is_one(request: &Request<'_>) -> bool {
        let kind = request.kind;
        let makes_pods = kind.name == "Pod" || !template_of(kind.name).is_empty();
        makes_pods && kind.name != "PodTemplate" && matches!(kind.group, "" | "apps" | "batch" | "extensions")
    }

    /// The pods that a workload is or makes; `None` if they have ended. What is left
    /// out of it goes to the notes.
    ///
    /// # Errors
    /// The object is not as Kubernetes has it.
    pub fn read(request: &Request<'a>, notes: &mut Vec<String>) -> Result<Option<Self>, Undecided> {
        let (kind, object) = (request.kind, request.object);
        // Of a rollout that is over a ReplicaSet is left that makes no pod.
        let is_over = kind.name == "ReplicaSet" && object.at("spec.replicas").int()? == Some(0);
        if is_over && owner(object)?.is_some() {
            return Ok(None);
        }
        if kind.name == "Pod" && matches!(object.at("status.phase").text()?, "Succeeded" | "Failed") {
            return Ok(None);
        }
        let Some(pod) = Pod::of(request)? else { return Ok(None) };
        let mut ports = Vec::new();
        for container in &pod.containers {
            if container.keeps_running()? {
                for port in container.field.at("ports").items()? {
                    let named = named_port(port)?;
                    if let (None, Some(name)) = (named, port.at("name").str()?) {
                        let whose = Name {
                            namespace: request.namespace,
                            name: request.display_name()?,
                            kind: kind.name,
                        };
                        notes.push(format!(
                            "{whose}: port `{}` has no containerPort, so that no policy can mean it",
                            excerpt(name)
                        ));
                    }
                    ports.extend(named);
                }
            }
        }
        ports.sort_unstable();
        ports.dedup();
        let own = Name { namespace: request.namespace, name: request.display_name()?, kind: kind.name };
        let name = owner(object)?.map_or(own, |(kind, name)| Name { kind, name, ..own });
        let mut labels = Labels::of(pod.metadata.at("labels"))?;
        if own.kind == "Job" && name == own {
            // As its controller adds them.
            labels.add("batch.kubernetes.io/job-name", own.name);
            labels.add("job-name", own.name);
        }
        Ok(Some(Workload { name, labels, ports, host_network: pod.spec.at("hostNetwork").is_true()? }))
    }
}

fn named_port(port: Field<'_>) -> Result<Option<NamedPort<'_>>, Undecided> {
    let (protocol, number) = (port.at("protocol"), port.at("containerPort"));
    let Some(name) = port.at("name").str()?.filter(|name| !name.is_empty()) else { return Ok(None) };
    if !number.is_set()? {
        return Ok(None);
    }
    Ok(Some(NamedPort { name, protocol: Protocol::read(protocol)?, number: port_number(number)? }))
}

/// Kind and name of the controller that made an object. A static pod's is its node, and makes nothing.
pub(crate) fn owner(object: Field<'_>) -> Result<Option<(&str, &str)>, Undecided> {
    for owner in object.at("metadata.ownerReferences").items()? {
        if owner.at("controller").is_true()? && owner.at("kind").text()? != "Node" {
            for key in ["kind", "name"] {
                if owner.at(key).text()?.is_empty() {
                    return Err(owner.at(key).undecided("must be set"));
                }
            }
            return Ok(Some((owner.at("kind").text()?, owner.at("name").text()?)));
        }
    }
    Ok(None)
}
