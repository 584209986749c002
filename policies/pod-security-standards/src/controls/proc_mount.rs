//! Masked paths in `/proc`.
//!
//! **Fields**: `securityContext.procMount` of each container. **Allowed**: not set, `Default`.
//! Since v1.35, baseline allows any value in a pod with its own user namespace; restricted does not.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        let field = container.security_context.at("procMount");
        match field.str()? {
            None | Some("Default") => {}
            Some(other) => violations.add(field, format!("must be `Default`, is {}", quote(other))),
        }
    }
    Ok(())
}

pub(crate) fn v1_35(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { v1_0(pod, violations) }
}
