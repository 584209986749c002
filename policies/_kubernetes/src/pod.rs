//! The pod in each kind that holds one, and the one loop over its three container lists.

use std::collections::BTreeMap;

use policy_core::{Field, Operation, Request, Undecided, Value};

pub use crate::container::{Container, ContainerList, ContainerPort, is_tcp};
use crate::workloads::WorkloadKinds;

/// A pod, or the template of one: its metadata, its spec, and every container of its three lists.
#[derive(Debug)]
pub struct Pod<'a> {
    /// `metadata` of the pod or of its template.
    pub metadata: Field<'a>,
    /// `spec` of the pod or of its template.
    pub spec: Field<'a>,
    /// All containers: `initContainers`, `containers`, `ephemeralContainers`, in that order.
    pub containers: Vec<Container<'a>>,
}

/// The annotation that says, as JSON, which `container` was added to a pod, by which `policy` of which `version`.
pub const EXPORTER_STATUS: &str = "pratique.dev/exporter-status";

/// The annotation by which the kubelet marks a pod that it runs itself, and that nobody else can change.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// More containers than any node could run, and few enough that no request costs gigabytes.
const MOST_CONTAINERS: usize = 5000;

const LISTS: [(ContainerList, &str); 3] = [
    (ContainerList::Init, "initContainers"),
    (ContainerList::Regular, "containers"),
    (ContainerList::Ephemeral, "ephemeralContainers"),
];

impl<'a> Pod<'a> {
    /// The pod that the request's object is or makes; `None` for a kind that may go without one and does
    /// (a ReplicationController without template).
    ///
    /// # Errors
    /// There is no object, no pod spec, no container, or a list of containers is none.
    pub fn of(request: &Request<'a>, kinds: WorkloadKinds<'_>) -> Result<Option<Self>, Undecided> {
        let Some(root) = kinds.template(&request.kind, request.object)? else { return Ok(None) };
        let pod = Pod::at(root)?;
        match pod.containers.iter().any(|container| container.list == ContainerList::Regular) {
            true => Ok(Some(pod)),
            false => Err(pod.spec.at("containers").undecided("must list at least one container")),
        }
    }

    /// The pod, or the pod template, that this field is; it may be without containers.
    ///
    /// # Errors
    /// A list of containers is not a list, or is too long.
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

    /// Whether it is on the network of its node, where NetworkPolicies may or may not apply.
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

    /// The name of the container that [`EXPORTER_STATUS`] says was added; `None` if it says none.
    ///
    /// # Errors
    /// Annotations are not as Kubernetes has them.
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

    /// Whether the pod says that it is for Windows nodes (`spec.os.name`).
    ///
    /// # Errors
    /// `spec.os` is not as Kubernetes has it.
    pub fn is_windows(&self) -> Result<bool, Undecided> {
        Ok(self.spec.at("os.name").str()? == Some("windows"))
    }

    /// Whether the pod has a user namespace of its own (`hostUsers: false`).
    ///
    /// # Errors
    /// `spec.hostUsers` is no boolean.
    pub fn has_user_namespace(&self) -> Result<bool, Undecided> {
        Ok(self.spec.at("hostUsers").bool()? == Some(false))
    }
}

/// Whether the request can change what a rule about pods says, so that it has to be judged.
///
/// An UPDATE of a Pod counts if it changes the number of containers or init containers, an image, or adds an
/// ephemeral container or changes one's image (pod-security-admission, `isSignificantPodUpdate`), so that labels,
/// finalizers and status of a pod from before the policy can still be kept. An UPDATE of a workload counts if it
/// changes the template. All else counts, and so does an UPDATE without the old object.
///
/// # Errors
/// Either object is not as Kubernetes has it.
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

/// Ephemeral containers are found by name: they are only ever added.
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
