//! Derives the labels `app.kubernetes.io/*` from existing labels, annotations, owners and images
//! (kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).

use policy_core::{Field, Undecided};
use policy_kubernetes::ImageReference;
use policy_kubernetes::pod::{ContainerList, Pod};
use policy_kubernetes::selector::is_label_value;
use policy_kubernetes::workloads::{WorkloadKinds, ancestors, owner_of};

pub(crate) const NAME: &str = "app.kubernetes.io/name";
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";
pub(crate) const VERSION: &str = "app.kubernetes.io/version";

/// Labels with the same meaning that predate `app.kubernetes.io/name`.
const OLDER: [&str; 3] = ["app", "k8s-app", "name"];

/// The name of a pod's application, from its labels or from the workload that creates it.
pub(crate) fn name_of_pod(pod: Field<'_>) -> Result<Option<String>, Undecided> {
    let metadata = pod.at("metadata");
    if let Some(name) = older(metadata.at("labels"))? {
        return Ok(value(name));
    }
    if let Some(owner) = owner_of(pod)? {
        let known = ancestors(owner, metadata.at("labels"), WorkloadKinds::BUILT_IN)?;
        return Ok(value(known.first().map_or(owner.name, |(_, name)| name)));
    }
    // Do not use the name of a pod without a controller: a ReplicaSet that selects this label would adopt the pod.
    Ok(None)
}

/// The name of a Service's application, from its labels, its selector or its name.
pub(crate) fn name_of_service(metadata: Field<'_>, spec: Field<'_>) -> Result<Option<String>, Undecided> {
    let selector = spec.at("selector");
    let name = match (older(metadata.at("labels"))?, selector.key(NAME).str()?, older(selector)?) {
        (Some(name), ..) | (None, Some(name), _) | (None, None, Some(name)) => name,
        _ => metadata.at("name").text()?,
    };
    Ok(value(name))
}

/// The Helm release, from Helm's annotation or from the label `release`. The label is ignored if it has the value `given`,
/// which this policy adds to every target.
pub(crate) fn instance(metadata: Field<'_>, given: &str) -> Result<Option<String>, Undecided> {
    let noted = metadata.at("annotations").key("meta.helm.sh/release-name").str()?;
    let label = metadata.at("labels.release").str()?.filter(|release| *release != given);
    Ok(noted.or(label).and_then(value))
}

/// The tag of the first container's image.
pub(crate) fn version(pod: &Pod<'_>) -> Result<Option<String>, Undecided> {
    let Some(first) = pod.containers.iter().find(|container| container.list == ContainerList::Regular) else {
        return Ok(None);
    };
    let image = ImageReference::parse(first.field.at("image").text()?);
    let tag = image.ok().and_then(|image| image.tag).filter(|tag| *tag != "latest");
    Ok(tag.and_then(value))
}

fn older(labels: Field<'_>) -> Result<Option<&str>, Undecided> {
    for key in OLDER {
        if let Some(name) = labels.key(key).str()?.filter(|name| !name.is_empty()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn value(text: &str) -> Option<String> {
    (!text.is_empty() && is_label_value(text)).then(|| text.to_owned())
}
