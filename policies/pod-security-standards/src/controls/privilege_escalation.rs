//! Gaining more privileges than the parent process.
//!
//! **Fields**: `securityContext.allowPrivilegeEscalation` of each container. **Allowed**: `false`, written out.
//! From v1.25 on Windows pods are left alone, which have no such thing.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use crate::violations::ControlViolations;

pub(crate) fn v1_8(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        let field = container.security_context.at("allowPrivilegeEscalation");
        match field.bool()? {
            Some(false) => {}
            Some(true) => offences.add(field, "must be false, is true"),
            None => offences.add(field, "must be false, is not set"),
        }
    }
    Ok(())
}

pub(crate) fn v1_25(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.is_windows()? { Ok(()) } else { v1_8(pod, offences) }
}
