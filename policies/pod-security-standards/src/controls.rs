//! The checks, one file per subject of the standards. Each file starts with the fields and their allowed values.

pub(crate) mod app_armor;
pub(crate) mod capabilities;
pub(crate) mod host_namespaces;
pub(crate) mod host_ports;
pub(crate) mod host_probes;
pub(crate) mod privilege_escalation;
pub(crate) mod privileged;
pub(crate) mod proc_mount;
pub(crate) mod run_as;
pub(crate) mod se_linux;
pub(crate) mod seccomp;
pub(crate) mod sysctls;
pub(crate) mod volumes;
pub(crate) mod windows_host_process;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

use crate::violations::ControlViolations;

/// Reports a violation if the field is `true`.
fn must_not_be_true(field: Field<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if field.is_true()? {
        violations.add(field, "must not be true");
    }
    Ok(())
}

/// Quotes a user's value for a message.
fn quote(text: &str) -> String {
    format!("`{}`", excerpt(text))
}
