//! Privilege escalation beyond the parent process.
//!
//! **Fields**: `securityContext.allowPrivilegeEscalation` of each container. **Allowed**: an explicit `false`.
//! Since v1.25, Windows pods are exempt, because the field does not apply to them.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use crate::violations::ControlViolations;

pub(crate) fn v1_8(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        let field = container.security_context.at("allowPrivilegeEscalation");
        match field.bool()? {
            Some(false) => {}
            Some(true) => violations.add(field, "must be false, is true"),
            None => violations.add(field, "must be false, is not set"),
        }
    }
    Ok(())
}

pub(crate) fn v1_25(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.is_windows()? { Ok(()) } else { v1_8(pod, violations) }
}
