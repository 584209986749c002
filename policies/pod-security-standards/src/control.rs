//! The controls of the Pod Security Standards.

use policy_core::{Undecided, Verdict};
use policy_kubernetes::pod::Pod;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::controls::{
    app_armor, capabilities, host_namespaces, host_ports, host_probes, privilege_escalation, privileged,
    proc_mount, run_as, se_linux, seccomp, sysctls, volumes, windows_host_process,
};
use crate::version::Version;
use crate::violations::ControlViolations;

/// The levels of the standards. Each level includes the restrictions of the previous one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Denies nothing.
    Privileged,
    /// Prevents known privilege escalations.
    Baseline,
    /// Also enforces current pod hardening practices.
    #[default]
    Restricted,
}

/// One control of the standards.
#[derive(Debug)]
pub struct Control {
    /// The control's ID, as used upstream.
    pub id: ControlId,
    /// The lowest level that includes the control.
    pub level: Level,
    /// The baseline control that it replaces.
    pub overrides: Option<ControlId>,
    /// The check for each version that changed the control, oldest first.
    pub(crate) versions: &'static [(Version, ControlCheck)],
}

/// Checks a pod and reports the violations.
pub(crate) type ControlCheck = fn(&Pod<'_>, &mut ControlViolations<'_>) -> Result<(), Undecided>;

impl Control {
    /// The first version with the control.
    pub fn since(&self) -> Version {
        self.versions.first().map_or(Version::FIRST, |(version, _)| *version)
    }

    /// Evaluates a pod with the check of that version.
    pub(crate) fn evaluate(
        &self,
        version: Version,
        pod: &Pod<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        match self.versions.iter().rev().find(|(since, _)| *since <= version) {
            Some((_, evaluate)) => {
                evaluate(pod, &mut ControlViolations { control: self.id.as_str(), verdict })
            }
            None => Ok(()),
        }
    }
}

policy_core::controls! {
    /// AppArmor profiles must be the runtime's default or local.
    AppArmorProfile = "appArmorProfile" {
        remediation: "Remove the profile, or use `RuntimeDefault` or `Localhost`.",
        fix: false,
    },
    /// No capabilities beyond those that container runtimes usually grant.
    CapabilitiesBaseline = "capabilities_baseline" {
        remediation: "Remove the capability from `capabilities.add`.",
        fix: false,
    },
    /// No host network, PID or IPC namespace.
    HostNamespaces = "hostNamespaces" {
        remediation: "Remove `hostNetwork`, `hostPID` and `hostIPC`.",
        fix: true,
    },
    /// No `hostPath` volumes.
    HostPathVolumes = "hostPathVolumes" {
        remediation: "Use another source for the volume, such as `emptyDir` or a PersistentVolumeClaim.",
        fix: false,
    },
    /// No host ports.
    HostPorts = "hostPorts" {
        remediation: "Remove `hostPort`, and reach the pod through a Service.",
        fix: true,
    },
    /// Probes and lifecycle hooks must connect to the pod itself.
    HostProbesAndHostLifecycle = "hostProbesAndHostLifecycle" {
        remediation: "Remove `host` from the probe or hook: without it the kubelet connects to the pod.",
        fix: true,
    },
    /// No privileged containers.
    Privileged = "privileged" {
        remediation: "Remove `privileged`, and add the capabilities that the container needs.",
        fix: true,
    },
    /// `/proc` must be masked.
    ProcMount = "procMount" {
        remediation: "Remove `procMount`, or set it to `Default`.",
        fix: true,
    },
    /// Only SELinux types for containers; no SELinux user or role.
    SeLinuxOptions = "seLinuxOptions" {
        remediation: "Remove `user` and `role`, and use one of the types that the message lists.",
        fix: false,
    },
    /// Seccomp must not be disabled.
    SeccompProfileBaseline = "seccompProfile_baseline" {
        remediation: "Set `seccompProfile.type` to `RuntimeDefault`.",
        fix: true,
    },
    /// Only safe sysctls.
    Sysctls = "sysctls" {
        remediation: "Remove the sysctl, or set it on the node.",
        fix: false,
    },
    /// No Windows HostProcess containers.
    WindowsHostProcess = "windowsHostProcess" {
        remediation: "Remove `windowsOptions.hostProcess`.",
        fix: true,
    },
    /// No more privileges than the parent process.
    AllowPrivilegeEscalation = "allowPrivilegeEscalation" {
        remediation: "Set `allowPrivilegeEscalation: false`.",
        fix: true,
    },
    /// All capabilities must be dropped; only `NET_BIND_SERVICE` may be added.
    CapabilitiesRestricted = "capabilities_restricted" {
        remediation: "Set `capabilities.drop: [ALL]`, and add nothing but `NET_BIND_SERVICE`.",
        fix: true,
        replaces: "capabilities_baseline",
    },
    /// `/proc` must be masked, even with a user namespace.
    ProcMountRestricted = "procMount_restricted" {
        remediation: "Remove `procMount`, or set it to `Default`.",
        fix: true,
        replaces: "procMount",
    },
    /// Only the volume types that the restricted level allows.
    RestrictedVolumes = "restrictedVolumes" {
        remediation: "Use one of the volume sources that the message lists.",
        fix: false,
        replaces: "hostPathVolumes",
    },
    /// Containers must run as non-root.
    RunAsNonRoot = "runAsNonRoot" {
        remediation: "Set `runAsNonRoot: true`; if the image runs as root, set `runAsUser` to the user that it supports.",
        fix: false,
    },
    /// Containers must not run as user 0.
    RunAsUser = "runAsUser" {
        remediation: "Set `runAsUser` to a user other than 0 that the image supports.",
        fix: false,
    },
    /// Containers must have a seccomp profile.
    SeccompProfileRestricted = "seccompProfile_restricted" {
        remediation: "Set `seccompProfile.type` to `RuntimeDefault`.",
        fix: true,
        replaces: "seccompProfile_baseline",
    },
}

/// All controls: baseline, then restricted, each sorted by name.
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

const fn baseline(id: ControlId, versions: &'static [(Version, ControlCheck)]) -> Control {
    Control { id, level: Level::Baseline, overrides: None, versions }
}

const fn restricted(
    id: ControlId,
    overrides: Option<ControlId>,
    versions: &'static [(Version, ControlCheck)],
) -> Control {
    Control { id, level: Level::Restricted, overrides, versions }
}
