//! Privileged containers.
//!
//! **Fields**: `securityContext.privileged` of each container. **Allowed**: not set, `false`.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::must_not_be_true;
use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        must_not_be_true(container.security_context.at("privileged"), violations)?;
    }
    Ok(())
}
