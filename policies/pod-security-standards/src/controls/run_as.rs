//! The user that containers run as.
//!
//! **Fields**: `securityContext.runAsNonRoot` and `.runAsUser` of the pod and of each container.
//! **Allowed**: `runAsNonRoot: true` at the pod or at every container, and `false` nowhere; any user but 0.
//! From v1.35 on anything in a pod with a user namespace of its own, where root is not the node's.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use crate::violations::ControlViolations;

pub(crate) fn non_root_v1_0(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    let for_pod = pod.security_context().at("runAsNonRoot");
    let pod_says = for_pod.bool()?;
    if pod_says == Some(false) {
        offences.add(for_pod, "must be true, is false");
    }
    for container in &pod.containers {
        let field = container.security_context.at("runAsNonRoot");
        match (field.bool()?, pod_says) {
            (Some(false), _) => offences.add(field, "must be true, is false"),
            (None, None) => offences.add(field, "must be true here or in the pod's securityContext"),
            // Where the pod says false, that is the offence: one that is named once.
            (None, Some(_)) | (Some(true), _) => {}
        }
    }
    Ok(())
}

pub(crate) fn non_root_v1_35(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { non_root_v1_0(pod, offences) }
}

pub(crate) fn user_v1_23(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        let field = security_context.at("runAsUser");
        if field.int()? == Some(0) {
            offences.add(field, "must not be 0");
        }
    }
    Ok(())
}

pub(crate) fn user_v1_35(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { user_v1_23(pod, offences) }
}
