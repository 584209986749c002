//! One file for each subject of the standards; each reads as the standard's table does: fields, allowed values, code.

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

/// Offends wherever `true` stands.
fn must_not_be_true(field: Field<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if field.is_true()? {
        offences.add(field, "must not be true");
    }
    Ok(())
}

/// What a user wrote, as a message quotes it.
fn quote(text: &str) -> String {
    format!("`{}`", excerpt(text))
}
