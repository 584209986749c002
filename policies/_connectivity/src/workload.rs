//! The pods of a workload, as NetworkPolicies and Services see them.

use policy_core::path::excerpt;
use policy_core::{Request, Undecided};
use policy_kubernetes::ports::NamedPort;
use policy_kubernetes::workloads::{Controller, labels_of_pods, owner_of};
use policy_kubernetes::{Labels, Pod, WorkloadKinds, WorkloadName};

/// Pods that are equal to every NetworkPolicy, under the name of the workload that creates them.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// The workload.
    pub name: WorkloadName<'a>,
    /// The labels of the pods.
    pub labels: Labels<'a>,
    /// The named ports of the pods.
    pub ports: Vec<NamedPort<'a>>,
    /// Whether they use the host network, where NetworkPolicies may or may not apply.
    pub host_network: bool,
}

impl<'a> Workload<'a> {
    /// Whether the object of a request is a pod or creates pods.
    pub fn is_one(request: &Request<'_>, kinds: WorkloadKinds<'_>) -> bool {
        let kind = &request.kind;
        (kind.group.is_empty() && kind.kind == "Pod")
            || kinds.get(kind.group, kind.kind).is_some_and(|row| row.controller != Controller::None)
    }

    /// Reads a pod, or the pods that a workload creates; `None` if it creates none or they have ended. Adds a note for each port
    /// that cannot be used.
    ///
    /// # Errors
    /// The object is not valid.
    pub fn read(
        request: &Request<'a>,
        kinds: WorkloadKinds<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Self>, Undecided> {
        let (kind, object) = (request.kind.kind, request.object);
        let own = WorkloadName { namespace: request.namespace, name: request.display_name()?, kind };
        let owner = owner_of(object)?;
        // A finished rollout leaves ReplicaSets without pods behind.
        let is_finished = kind == "ReplicaSet" && object.at("spec.replicas").int()? == Some(0);
        if is_finished && owner.is_some() {
            return Ok(None);
        }
        if kind == "Pod" && matches!(object.at("status.phase").text()?, "Succeeded" | "Failed") {
            return Ok(None);
        }
        let Some(pod) = Pod::of(request, kinds)? else { return Ok(None) };
        let mut ports = Vec::new();
        for container in pod.running_containers()? {
            for port in container.ports()? {
                if !port.name()?.is_empty() && port.number()?.is_none() {
                    notes.push(format!(
                        "{own}: port `{}` has no containerPort, so no policy can refer to it",
                        excerpt(port.name()?)
                    ));
                }
                ports.extend(port.named()?);
            }
        }
        ports.sort_unstable();
        ports.dedup();
        let name = owner.map_or(own, |owner| WorkloadName { kind: owner.kind, name: owner.name, ..own });
        // Only the controller of the workload itself adds labels with its name, because a Job of a CronJob has its own name.
        let of = if name == own { kind } else { "" };
        let labels = labels_of_pods(of, own.name, pod.metadata.at("labels"))?;
        Ok(Some(Workload { name, labels, ports, host_network: pod.host_network()? }))
    }
}
