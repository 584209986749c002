//! The user that containers run as.
//!
//! **Fields**: `securityContext.runAsNonRoot` and `.runAsUser` of the pod and of each container.
//! **Allowed**: `runAsNonRoot: true` for the pod or for every container, and `false` for none; any user except 0.
//! Since v1.35, a pod with its own user namespace may have any value, because its root user is not root on the node.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use crate::violations::ControlViolations;

pub(crate) fn non_root_v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    let for_pod = pod.security_context().at("runAsNonRoot");
    let pod_says = for_pod.bool()?;
    if pod_says == Some(false) {
        violations.add(for_pod, "must be true, is false");
    }
    for container in &pod.containers {
        let field = container.security_context.at("runAsNonRoot");
        match (field.bool()?, pod_says) {
            (Some(false), _) => violations.add(field, "must be true, is false"),
            (None, None) => violations.add(field, "must be true here or in the pod's securityContext"),
            // A `false` of the pod is reported above, not again for each container.
            (None, Some(_)) | (Some(true), _) => {}
        }
    }
    Ok(())
}

pub(crate) fn non_root_v1_35(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { non_root_v1_0(pod, violations) }
}

pub(crate) fn user_v1_23(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        let field = security_context.at("runAsUser");
        if field.int()? == Some(0) {
            violations.add(field, "must not be 0");
        }
    }
    Ok(())
}

pub(crate) fn user_v1_35(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { user_v1_23(pod, violations) }
}
