//! Whether a pod requests an exporter, and whether one can run in it.

use policy_core::{Cluster, Request};
use policy_kubernetes::pod::{MIRROR, Pod};

use crate::skip_reason::{NoExporter, SkipReason, SkippedExporter};
use crate::{INJECT_EXPORTER, SidecarForm};

/// Skips the pod unless it requests an exporter, or its namespace does for all pods.
pub(crate) fn check_requested<'a>(
    request: &Request<'a>,
    cluster: &dyn Cluster,
    pod: &Pod<'a>,
) -> Result<(), NoExporter<'a>> {
    let annotation = pod.annotations().key(INJECT_EXPORTER);
    let skip = |reason, message| Err(SkippedExporter::new(reason, annotation, message).into());
    match annotation.str()? {
        Some("false") => return skip(SkipReason::OptedOut, "the pod opts out of the exporter"),
        Some(_) => return Ok(()),
        None => {}
    }
    if !cluster.has("", "Namespace") {
        return skip(SkipReason::NamespaceUnknown, "namespace labels are not available without a cluster");
    }
    let arena = request.object.arena();
    let namespace = cluster.get("", "Namespace", None, request.namespace, arena)?;
    let label =
        namespace.map(|namespace| namespace.at("metadata.labels").key(INJECT_EXPORTER).str()).transpose()?;
    match label.flatten() {
        Some("enabled") => Ok(()),
        _ => skip(SkipReason::NotRequested, "neither the pod nor its namespace requests an exporter"),
    }
}

/// Skips the pod if no exporter can run in it.
pub(crate) fn check_supported<'a>(pod: &Pod<'a>) -> Result<(), NoExporter<'a>> {
    const LINUX: &str = "no exporter added: exporters are built for Linux";
    let mirror = pod.annotations().key(MIRROR);
    let network = pod.spec.at("hostNetwork");
    let os = pod.spec.at("os.name");
    // Many Windows pods set only a node selector, and HostProcess containers only their options.
    let nodes = pod.spec.at("nodeSelector");
    let (node, old_node) = (nodes.key("kubernetes.io/os"), nodes.key("beta.kubernetes.io/os"));
    let options = pod.security_context().at("windowsOptions");
    let reasons = [
        (
            mirror.is_set()?,
            SkipReason::MirrorPod,
            mirror,
            "no exporter added: a mirror pod cannot be changed",
        ),
        (
            network.is_true()?,
            SkipReason::HostNetwork,
            network,
            "no exporter added: it would listen on the node's address",
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

/// Skips the pod if a container of that form would keep it from completing.
pub(crate) fn suitable_for<'a>(form: SidecarForm, pod: &Pod<'a>) -> Result<(), NoExporter<'a>> {
    let restart = pod.spec.at("restartPolicy");
    if form == SidecarForm::Native || restart.str()?.is_none_or(|policy| policy == "Always") {
        return Ok(());
    }
    let message = "no exporter added: a classic container would keep the pod from completing; a native sidecar would not";
    Err(SkippedExporter::new(SkipReason::RunsToCompletion, restart, message).into())
}
