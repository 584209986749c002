//! Sysctls (kernel parameters).
//!
//! **Fields**: `spec.securityContext.sysctls[*].name`. **Allowed**: the safe sysctls, which affect only the pod itself. The list
//! grew in v1.27, v1.29, v1.32 and v1.37. Names are compared as written, so `kernel/shm_rmid_forced` does not match.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const V1_0: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
];
const SINCE_V1_27: &[&str] = &["net.ipv4.ip_local_reserved_ports"];
const SINCE_V1_29: &[&str] = &[
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];
const SINCE_V1_32: &[&str] = &["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
const SINCE_V1_37: &[&str] = &["net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"];

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    sysctls(pod, &[V1_0], violations)
}

pub(crate) fn v1_27(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    sysctls(pod, &[V1_0, SINCE_V1_27], violations)
}

pub(crate) fn v1_29(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    sysctls(pod, &[V1_0, SINCE_V1_27, SINCE_V1_29], violations)
}

pub(crate) fn v1_32(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    sysctls(pod, &[V1_0, SINCE_V1_27, SINCE_V1_29, SINCE_V1_32], violations)
}

pub(crate) fn v1_37(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    sysctls(pod, &[V1_0, SINCE_V1_27, SINCE_V1_29, SINCE_V1_32, SINCE_V1_37], violations)
}

fn sysctls(
    pod: &Pod<'_>,
    allowed: &[&[&str]],
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    for sysctl in pod.security_context().at("sysctls").items()? {
        let field = sysctl.at("name");
        let name = field.text()?;
        if !allowed.iter().any(|names| names.contains(&name)) {
            violations.add(field, format!("must be a safe sysctl, is {}", quote(name)));
        }
    }
    Ok(())
}
