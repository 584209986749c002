//! What a control is, and the list of all of them.

use policy_core::pod::Pod;
use policy_core::{Field, Undecided, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::controls::{
    app_armor, capabilities, host_namespaces, host_ports, host_probes, privilege_escalation, privileged,
    proc_mount, run_as, se_linux, seccomp, sysctls, volumes, windows_host_process,
};
use crate::version::Version;

/// The levels of the standards; each holds what the one before it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Denies nothing.
    Privileged,
    /// Denies the known ways out of a container.
    Baseline,
    /// Asks for today's hardening as well.
    #[default]
    Restricted,
}

/// One control of the standards.
#[derive(Debug)]
pub struct Control {
    /// Its name, as upstream has it.
    pub id: ControlId,
    /// The level from which on it is judged.
    pub level: Level,
    /// The baseline control that it replaces.
    pub overrides: Option<ControlId>,
    /// What is judged from which version on, oldest first; a version that changed a control adds a line.
    pub(crate) versions: &'static [(Version, Judge)],
}

/// Judges a pod, and says what offends.
pub(crate) type Judge = fn(&Pod<'_>, &mut Offences<'_>) -> Result<(), Undecided>;

/// Where a control says what offends it.
#[derive(Debug)]
pub(crate) struct Offences<'v> {
    control: &'static str,
    verdict: &'v mut Verdict,
}

impl Offences<'_> {
    /// Denies that field; the message says what it must be.
    pub(crate) fn add(&mut self, field: Field<'_>, message: impl Into<String>) {
        self.verdict.deny_by(self.control, field, message);
    }
}

impl Control {
    /// The first version that has the control.
    pub fn since(&self) -> Version {
        self.versions.first().map_or(Version::FIRST, |(version, _)| *version)
    }

    /// Judges a pod as that version does.
    pub(crate) fn judge(
        &self,
        version: Version,
        pod: &Pod<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match self.versions.iter().rev().find(|(since, _)| *since <= version) {
            Some((_, judge)) => judge(pod, &mut Offences { control: self.id.as_str(), verdict }),
            None => Ok(()),
        }
    }
}

/// Declares [`ControlId`], so that a name stands in one place for settings, messages and the list.
macro_rules! control_ids {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal,)+) => {
        /// The names of the controls, as upstream has them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        pub enum ControlId {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $id,)+
        }

        impl ControlId {
            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self { $(ControlId::$id => $name,)+ }
            }
        }
    };
}

control_ids! {
    /// AppArmor profiles are the runtime's or local ones.
    AppArmorProfile = "appArmorProfile",
    /// No capabilities beyond the runtime's.
    CapabilitiesBaseline = "capabilities_baseline",
    /// No network, process or IPC namespace of the node.
    HostNamespaces = "hostNamespaces",
    /// No folders of the node.
    HostPathVolumes = "hostPathVolumes",
    /// No ports of the node.
    HostPorts = "hostPorts",
    /// Probes and lifecycle hooks go to the pod itself.
    HostProbesAndHostLifecycle = "hostProbesAndHostLifecycle",
    /// No privileged containers.
    Privileged = "privileged",
    /// `/proc` is masked.
    ProcMount = "procMount",
    /// SELinux types of containers only, no user, no role.
    SeLinuxOptions = "seLinuxOptions",
    /// Seccomp is not turned off.
    SeccompProfileBaseline = "seccompProfile_baseline",
    /// Only sysctls of the pod's own namespaces.
    Sysctls = "sysctls",
    /// No Windows HostProcess containers.
    WindowsHostProcess = "windowsHostProcess",
    /// No way to more privileges than the parent process.
    AllowPrivilegeEscalation = "allowPrivilegeEscalation",
    /// All capabilities dropped, at most `NET_BIND_SERVICE` added.
    CapabilitiesRestricted = "capabilities_restricted",
    /// `/proc` is masked, user namespace or not.
    ProcMountRestricted = "procMount_restricted",
    /// Only volumes that hold no part of the node.
    RestrictedVolumes = "restrictedVolumes",
    /// Containers must run as non-root.
    RunAsNonRoot = "runAsNonRoot",
    /// No user 0.
    RunAsUser = "runAsUser",
    /// Seccomp is turned on.
    SeccompProfileRestricted = "seccompProfile_restricted",
}

/// All controls: baseline, then restricted, each by name.
pub const CONTROLS: &[Control] = &[
    baseline(ControlId::AppArmorProfile, &[(V0, app_armor::v1_0)]),
    baseline(ControlId::CapabilitiesBaseline, &[(V0, capabilities::baseline_v1_0)]),
    baseline(ControlId::HostNamespaces, &[(V0, host_namespaces::v1_0)]),
    baseline(ControlId::HostPathVolumes, &[(V0, volumes::host_path_v1_0)]),
    baseline(ControlId::HostPorts, &[(V0, host_ports::v1_0)]),
    baseline(ControlId::HostProbesAndHostLifecycle, &[(Version::v1(34), host_probes::v1_34)]),
    baseline(ControlId::Privileged, &[(V0, privileged::v1_0)]),
    baseline(ControlId::ProcMount, &[(V0, proc_mount::v1_0), (Version::v1(35), proc_mount::v1_35)]),
    baseline(ControlId::SeLinuxOptions, &[(V0, se_linux::v1_0), (Version::v1(31), se_linux::v1_31)]),
    baseline(
        ControlId::SeccompProfileBaseline,
        &[(V0, seccomp::baseline_v1_0), (Version::v1(19), seccomp::baseline_v1_19)],
    ),
    baseline(
        ControlId::Sysctls,
        &[
            (V0, sysctls::v1_0),
            (Version::v1(27), sysctls::v1_27),
            (Version::v1(29), sysctls::v1_29),
            (Version::v1(32), sysctls::v1_32),
            (Version::v1(37), sysctls::v1_37),
        ],
    ),
    baseline(ControlId::WindowsHostProcess, &[(V0, windows_host_process::v1_0)]),
    restricted(
        ControlId::AllowPrivilegeEscalation,
        None,
        &[(Version::v1(8), privilege_escalation::v1_8), (Version::v1(25), privilege_escalation::v1_25)],
    ),
    restricted(
        ControlId::CapabilitiesRestricted,
        Some(ControlId::CapabilitiesBaseline),
        &[
            (Version::v1(22), capabilities::restricted_v1_22),
            (Version::v1(25), capabilities::restricted_v1_25),
        ],
    ),
    restricted(
        ControlId::ProcMountRestricted,
        Some(ControlId::ProcMount),
        &[(Version::v1(35), proc_mount::v1_0)],
    ),
    restricted(
        ControlId::RestrictedVolumes,
        Some(ControlId::HostPathVolumes),
        &[(V0, volumes::restricted_v1_0)],
    ),
    restricted(
        ControlId::RunAsNonRoot,
        None,
        &[(V0, run_as::non_root_v1_0), (Version::v1(35), run_as::non_root_v1_35)],
    ),
    restricted(
        ControlId::RunAsUser,
        None,
        &[(Version::v1(23), run_as::user_v1_23), (Version::v1(35), run_as::user_v1_35)],
    ),
    restricted(
        ControlId::SeccompProfileRestricted,
        Some(ControlId::SeccompProfileBaseline),
        &[(Version::v1(19), seccomp::restricted_v1_19), (Version::v1(25), seccomp::restricted_v1_25)],
    ),
];

const V0: Version = Version::FIRST;

const fn baseline(id: ControlId, versions: &'static [(Version, Judge)]) -> Control {
    Control { id, level: Level::Baseline, overrides: None, versions }
}

const fn restricted(
    id: ControlId,
    overrides: Option<ControlId>,
    versions: &'static [(Version, Judge)],
) -> Control {
    Control { id, level: Level::Restricted, overrides, versions }
}
