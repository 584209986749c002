//! SELinux labels.
//!
//! **Fields**: `securityContext.seLinuxOptions` of the pod and of each container: `type`, `user`, `role`.
//! **Allowed** as type: not set, `container_t`, `container_init_t`, `container_kvm_t`, and since v1.31
//! `container_engine_t`; user and role: not set. Any level is allowed.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const V1_0: &[&str] = &["container_t", "container_init_t", "container_kvm_t"];
const V1_31: &[&str] = &["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    options(pod, V1_0, violations)
}

pub(crate) fn v1_31(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    options(pod, V1_31, violations)
}

fn options(pod: &Pod<'_>, types: &[&str], violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        let options = security_context.at("seLinuxOptions");
        let field = options.at("type");
        let name = field.text()?;
        if !name.is_empty() && !types.contains(&name) {
            violations.add(field, format!("must be one of {}, is {}", types.join(", "), quote(name)));
        }
        for field in [options.at("user"), options.at("role")] {
            let name = field.text()?;
            if !name.is_empty() {
                violations.add(field, format!("must not be set, is {}", quote(name)));
            }
        }
    }
    Ok(())
}
