//! Whether a pod is to have an exporter at all, and can.

use policy_core::{Cluster, Request};
use policy_kubernetes::pod::{MIRROR, Pod};

use crate::skip_reason::{NoExporter, SkipReason, SkippedExporter};
use crate::{INJECT_EXPORTER, SidecarForm};

/// Whether the pod asks for an exporter, or its namespace for all of its pods.
pub(crate) fn by_anybody<'a>(
    request: &Request<'a>,
    cluster: &dyn Cluster,
    pod: &Pod<'a>,
) -> Result<(), NoExporter<'a>> {
    let annotation = pod.annotations().key(INJECT_EXPORTER);
    let skip = |reason, message| Err(SkippedExporter::new(reason, annotation, message).into());
    match annotation.str()? {
        Some("false") => return skip(SkipReason::OptedOut, "the pod wants no exporter"),
        Some(_) => return Ok(()),
        None => {}
    }
    if !cluster.has("", "Namespace") {
        return skip(SkipReason::NamespaceUnknown, "the labels of namespaces are not known here");
    }
    let arena = request.object.arena();
    let namespace = cluster.get("", "Namespace", None, request.namespace, arena)?;
    let label =
        namespace.map(|namespace| namespace.at("metadata.labels").key(INJECT_EXPORTER).str()).transpose()?;
    match label.flatten() {
        Some("enabled") => Ok(()),
        _ => skip(SkipReason::NotRequested, "neither the pod nor its namespace asks for an exporter"),
    }
}

/// Whether any exporter can run in the pod.
pub(crate) fn suitable<'a>(pod: &Pod<'a>) -> Result<(), NoExporter<'a>> {
    const LINUX: &str = "adds no exporter: exporters are built for Linux";
    let mirror = pod.annotations().key(MIRROR);
    let network = pod.spec.at("hostNetwork");
    let os = pod.spec.at("os.name");
    // Windows pods are often known by their nodes alone, and HostProcess containers by their options.
    let nodes = pod.spec.at("nodeSelector");
    let (node, old_node) = (nodes.key("kubernetes.io/os"), nodes.key("beta.kubernetes.io/os"));
    let options = pod.security_context().at("windowsOptions");
    let reasons = [
        (mirror.is_set()?, SkipReason::MirrorPod, mirror, "adds no exporter: a mirror pod cannot be changed"),
        (
            network.is_true()?,
            SkipReason::HostNetwork,
            network,
            "adds no exporter: it would listen on the node's own address",
        ),
        (os.str()? == Some("windows"), SkipReason::Windows, os, LINUX),
        (node.str()? == Some("windows"), SkipReason::Windows, node, LINUX),
        (old_node.str()? == Some("windows"), SkipReason::Windows, old_node, LINUX),
        (options.is_set()?, SkipReason::Windows, options, LINUX),
    ];
    match reasons.into_iter().find(|(applies, ..)| *applies) {
        Some((_, reason, field, message)) => Err(SkippedExporter::new(reason, field, message).into()),
        None => Ok(()),
    }
}

/// Whether a container of that form lets the pod end when it is to end.
pub(crate) fn suitable_for<'a>(form: SidecarForm, pod: &Pod<'a>) -> Result<(), NoExporter<'a>> {
    let restart = pod.spec.at("restartPolicy");
    if form == SidecarForm::Native || restart.str()?.is_none_or(|policy| policy == "Always") {
        return Ok(());
    }
    let message = "adds no exporter: a classic container would keep the pod from ending; native ones do not";
    Err(SkippedExporter::new(SkipReason::RunsToCompletion, restart, message).into())
}
