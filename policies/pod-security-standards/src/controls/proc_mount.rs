//! The masks over `/proc`.
//!
//! **Fields**: `securityContext.procMount` of each container. **Allowed**: not set, `Default`.
//! From v1.35 on baseline allows anything in a pod with a user namespace of its own; restricted never does.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        let field = container.security_context.at("procMount");
        match field.str()? {
            None | Some("Default") => {}
            Some(other) => offences.add(field, format!("must be `Default`, is {}", quote(other))),
        }
    }
    Ok(())
}

pub(crate) fn v1_35(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.has_user_namespace()? { Ok(()) } else { v1_0(pod, offences) }
}
