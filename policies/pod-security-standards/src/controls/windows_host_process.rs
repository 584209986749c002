//! Windows HostProcess containers, which run as processes on the node.
//!
//! **Fields**: `securityContext.windowsOptions.hostProcess` of the pod and of each container. **Allowed**: not set, `false`.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::must_not_be_true;
use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        must_not_be_true(security_context.at("windowsOptions.hostProcess"), violations)?;
    }
    Ok(())
}
