//! Pods and pod templates, with the containers of their three lists.

use std::collections::BTreeMap;

use policy_core::{Field, Operation, Request, Undecided, Value};

pub use crate::container::{Container, ContainerList, ContainerPort, is_tcp};
use crate::workloads::WorkloadKinds;

/// A pod or a pod template: its metadata, its spec, and the containers of its three lists.
#[derive(Debug)]
pub struct Pod<'a> {
    /// `metadata` of the pod or of its template.
    pub metadata: Field<'a>,
    /// `spec` of the pod or of its template.
    pub spec: Field<'a>,
    /// All containers: `initContainers`, `containers`, `ephemeralContainers`, in that order.
    pub containers: Vec<Container<'a>>,
}

/// The annotation that records, as JSON, which `container` was added to a pod by which `policy` and `version`.
pub const EXPORTER_STATUS: &str = "pratique.dev/exporter-status";

/// The annotation with which the kubelet marks a mirror pod: a static pod that cannot be changed through the API server.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// The maximum number of containers: more than a node can run, but few enough to limit memory use.
const MOST_CONTAINERS: usize = 5000;

const LISTS: [(ContainerList, &str); 3] = [
    (ContainerList::Init, "initContainers"),
    (ContainerList::Regular, "containers"),
    (ContainerList::Ephemeral, "ephemeralContainers"),
];

impl<'a> Pod<'a> {
    /// The pod or pod template in the request's object; `None` if the kind does not require a template and the object has none
    /// (a ReplicationController without template).
    ///
    /// # Errors
    /// The request has no object, the pod has no containers, or a list of containers is not valid.
    pub fn of(request: &Request<'a>, kinds: WorkloadKinds<'_>) -> Result<Option<Self>, Undecided> {
        let Some(root) = kinds.template(&request.kind, request.object)? else { return Ok(None) };
        let pod = Pod::at(root)?;
        match pod.containers.iter().any(|container| container.list == ContainerList::Regular) {
            true => Ok(Some(pod)),
            false => Err(pod.spec.at("containers").undecided("must list at least one container")),
        }
    }

    /// The pod or pod template in this field, which may have no containers.
    ///
    /// # Errors
    /// A field for containers is not a list, or the list is too long.
    pub fn at(root: Field<'a>) -> Result<Self, Undecided> {
        let spec = root.at("spec");
        let mut containers = Vec::with_capacity(4);
        for (list, key) in LISTS {
            let list_of = spec.at(key);
            let items = list_of.items()?;
            if items.len() > MOST_CONTAINERS {
                return Err(list_of.undecided(format!("must list at most {MOST_CONTAINERS} containers")));
            }
            for field in items {
                containers.push(Container { list, field, security_context: field.at("securityContext") });
            }
        }
        Ok(Pod { metadata: root.at("metadata"), spec, containers })
    }

    /// The containers that keep running as long as the pod does: regular ones and native sidecars.
    ///
    /// # Errors
    /// `restartPolicy` of an init container is not a string.
    pub fn running_containers(&self) -> Result<Vec<Container<'a>>, Undecided> {
        let mut running = Vec::new();
        for container in &self.containers {
            if container.keeps_running()? {
                running.push(*container);
            }
        }
        Ok(running)
    }

    /// Whether it uses the network of its node, where NetworkPolicies may not apply.
    ///
    /// # Errors
    /// `spec.hostNetwork` is not a boolean.
    pub fn host_network(&self) -> Result<bool, Undecided> {
        self.spec.at("hostNetwork").is_true()
    }

    /// The annotations of the pod or of its template.
    pub fn annotations(&self) -> Field<'a> {
        self.metadata.at("annotations")
    }

    /// The name of the added container in [`EXPORTER_STATUS`]; `None` if the annotation names none.
    ///
    /// # Errors
    /// The annotations are not valid.
    pub fn added_container(&self) -> Result<Option<&'a str>, Undecided> {
        let status = self.annotations().key(EXPORTER_STATUS);
        let decode = |text: &'a str| Value::from_json(text.as_bytes(), status.arena()).ok();
        Ok(match status.str()?.and_then(decode).and_then(|value| value.get("container")) {
            Some(Value::String(name)) => Some(name),
            _ => None,
        })
    }

    /// `spec.securityContext`.
    pub fn security_context(&self) -> Field<'a> {
        self.spec.at("securityContext")
    }

    /// The `securityContext` of the pod and then of each container.
    pub fn security_contexts(&self) -> impl Iterator<Item = Field<'a>> {
        std::iter::once(self.security_context())
            .chain(self.containers.iter().map(|container| container.security_context))
    }

    /// Whether the pod is for Windows nodes (`spec.os.name`).
    ///
    /// # Errors
    /// `spec.os` is not valid.
    pub fn is_windows(&self) -> Result<bool, Undecided> {
        Ok(self.spec.at("os.name").str()? == Some("windows"))
    }

    /// Whether the pod has its own user namespace (`hostUsers: false`).
    ///
    /// # Errors
    /// `spec.hostUsers` is not a boolean.
    pub fn has_user_namespace(&self) -> Result<bool, Undecided> {
        Ok(self.spec.at("hostUsers").bool()? == Some(false))
    }
}

/// Whether the request can change the verdict of a policy about pods, so that it must be evaluated.
///
/// An UPDATE of a Pod is significant if it changes the number of containers or init containers, changes an image, or adds an
/// ephemeral container (pod-security-admission, `isSignificantPodUpdate`). So labels, finalizers and status of a pod that was
/// created before the policy can still be changed. An UPDATE of a workload is significant if it changes the template. All other
/// requests are significant, including an UPDATE without the old object.
///
/// # Errors
/// One of the objects is not valid.
pub fn is_significant(request: &Request<'_>, kinds: WorkloadKinds<'_>) -> Result<bool, Undecided> {
    if request.operation != Operation::Update || !request.old_object.is_set()? {
        return Ok(true);
    }
    let (new, old, kind) = (request.object, request.old_object, &request.kind);
    if kind.kind != "Pod" {
        let (new, old) = (kinds.template(kind, new)?, kinds.template(kind, old)?);
        return Ok(match (new, old) {
            (Some(new), Some(old)) => new.value()? != old.value()?,
            (new, old) => new.is_some() != old.is_some(),
        });
    }
    let (new, old) = (new.at("spec"), old.at("spec"));
    Ok(images_differ(new.at("containers"), old.at("containers"))?
        || images_differ(new.at("initContainers"), old.at("initContainers"))?
        || ephemeral_images_differ(new.at("ephemeralContainers"), old.at("ephemeralContainers"))?)
}

fn images_differ(new: Field<'_>, old: Field<'_>) -> Result<bool, Undecided> {
    let (new, old) = (new.items()?, old.items()?);
    if new.len() != old.len() {
        return Ok(true);
    }
    for (new, old) in new.zip(old) {
        if new.at("image").str()? != old.at("image").str()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Compares ephemeral containers by name, because they can only be added.
fn ephemeral_images_differ(new: Field<'_>, old: Field<'_>) -> Result<bool, Undecided> {
    let mut images = BTreeMap::new();
    for container in old.items()? {
        images.insert(container.at("name").text()?, container.at("image").text()?);
    }
    for container in new.items()? {
        if images.get(container.at("name").text()?) != Some(&container.at("image").text()?) {
            return Ok(true);
        }
    }
    Ok(false)
}
