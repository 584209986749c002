//! Host namespaces.
//!
//! **Fields**: `spec.hostNetwork`, `spec.hostPID`, `spec.hostIPC`. **Allowed**: not set, `false`.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::must_not_be_true;
use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        must_not_be_true(pod.spec.at(key), violations)?;
    }
    Ok(())
}
