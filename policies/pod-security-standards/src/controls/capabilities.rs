//! Linux capabilities.
//!
//! **Fields**: `securityContext.capabilities.add` and `.drop` of each container.
//! **Allowed** at baseline: adding capabilities that container runtimes usually grant; at restricted: dropping `ALL` and
//! adding at most `NET_BIND_SERVICE`. Names are compared as written, so `all` and `CAP_CHOWN` do not match. Since v1.25,
//! restricted exempts Windows pods, because they have no capabilities.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const BASELINE: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const RESTRICTED: &[&str] = &["NET_BIND_SERVICE"];

pub(crate) fn baseline_v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    added(pod, BASELINE, violations)
}

pub(crate) fn restricted_v1_22(
    pod: &Pod<'_>,
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    for container in &pod.containers {
        let drop = container.security_context.at("capabilities.drop");
        let mut drops_all = false;
        for capability in drop.items()? {
            drops_all |= capability.str()? == Some("ALL");
        }
        if !drops_all {
            violations.add(drop, "must include `ALL`");
        }
    }
    added(pod, RESTRICTED, violations)
}

pub(crate) fn restricted_v1_25(
    pod: &Pod<'_>,
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    if pod.is_windows()? { Ok(()) } else { restricted_v1_22(pod, violations) }
}

fn added(pod: &Pod<'_>, allowed: &[&str], violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        for capability in container.security_context.at("capabilities.add").items()? {
            let name = capability.text()?;
            if !allowed.contains(&name) {
                let message = format!("must not add {}, only {}", quote(name), allowed.join(", "));
                violations.add(capability, message);
            }
        }
    }
    Ok(())
}
