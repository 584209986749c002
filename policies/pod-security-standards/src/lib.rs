//! The Pod Security Standards of Kubernetes: all controls, levels and versions, with the verdicts of upstream.

mod control;
mod controls;
mod version;
mod violations;

use policy_core::{
    Category, Cluster, Context, Evaluate, Policy, PolicyMetadata, Request, Severity, Undecided, Verdict,
};
use policy_kubernetes::pod::{self, Pod};
use policy_kubernetes::{PodTemplate, WorkloadKinds, scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use control::{CONTROLS, Control, ControlId, Level};
pub use version::Version;

/// Holds pods, and the workloads that make them, to one level of the Pod Security Standards at one version.
///
/// ## What it denies
///
/// A pod, or a workload whose template makes such pods, that the Pod Security Standards forbid at the chosen level:
/// `baseline` stops the known ways out of a container, `restricted` asks for today's hardening as well. Every
/// offending field of every container, init container and ephemeral container is named.
///
/// The verdicts are those of Kubernetes' own admission (`k8s.io/pod-security-admission`), at every version from v1.0
/// on. Where a control changed, the version decides: host probes are judged from v1.34 on, a pod with a user
/// namespace of its own (`hostUsers: false`) may run as root from v1.35 on.
///
/// ## Why
///
/// A container with more than these standards allow has the node's devices, files or network, and with them the
/// other pods of the node. Kubernetes' own admission denies such pods, but only warns of the Deployments that make
/// them, so that the rollout stops where nobody looks. This policy denies the Deployment.
///
/// ## What is special
///
/// - An update is judged if it can change the verdict: a changed image, container or ephemeral container, or a changed
///   template. Labels and finalizers of a pod from before the policy can be kept.
/// - Restricted controls replace their baseline twins. A pod with `spec.os.name: windows` is exempt from
///   `allowPrivilegeEscalation`, `capabilities_restricted` and `seccompProfile_restricted` from v1.25 on, as upstream.
/// - Of a volume with two sources, which no API server takes, both are judged; upstream looks at the first it knows.
/// - Housekeeping on a pod that is being deleted, such as the removal of a finalizer, is never denied, whatever else it
///   changes; its ephemeral containers are judged.
/// - A pod without containers or with more than 5,000, or a field of another type than Kubernetes has, is denied: it
///   cannot be judged.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct PodSecurityStandards {
    /// The level to hold pods to.
    pub level: Level,
    /// The version of the standards: `latest`, or a minor version of Kubernetes such as `v1.29`. One that is newer
    /// than this policy is read as the newest it knows.
    pub version: Version,
    /// Judge only these controls, whatever the level. All that the level has, if empty.
    pub controls: Vec<ControlId>,
    /// Judge all but these controls. A restricted control that is exempt leaves its baseline twin in force.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that make pods, beside the built-in ones.
    pub pod_templates: Vec<PodTemplate>,
}

impl Policy for PodSecurityStandards {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "pod-security-standards",
        title: "Pod Security Standards",
        summary: "Denies pods and workloads that the Pod Security Standards forbid at the chosen level and version.",
        remediation: "Change each named field to what its message allows, or lower the level for workloads that need more.",
        source: "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        severity: Severity::High,
        category: Category::PodSecurity,
        controls: control::CONTROL_METADATA,
        scope: scopes::PODS_AND_WORKLOADS,
        reads: &[],
        context: Context::Object,
        mutates: false,
        denies: true,
    };

    /// A control that the version does not have yet would silently judge nothing.
    fn validate(&self) -> Result<(), String> {
        self.pod_templates.iter().try_for_each(PodTemplate::validate)?;
        let too_old = |id: &&ControlId| CONTROLS.iter().any(|c| c.id == **id && c.since() > self.version);
        if let Some(id) = self.controls.iter().find(|id| self.exempt_controls.contains(id)) {
            return Err(format!("controls: `{}` is in exemptControls as well", id.as_str()));
        }
        match self.controls.iter().find(too_old) {
            Some(id) => Err(format!("controls: `{}` does not exist in {} yet", id.as_str(), self.version)),
            None => Ok(()),
        }
    }
}

impl Evaluate for PodSecurityStandards {
    fn extends_scope_to(&self, request: &Request<'_>) -> bool {
        WorkloadKinds::with(&self.pod_templates).adds(request)
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        _: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let kinds = WorkloadKinds::with(&self.pod_templates);
        if !pod::is_significant(request, kinds)? {
            return Ok(());
        }
        let Some(pod) = Pod::of(request, kinds)? else { return Ok(()) };
        for control in CONTROLS.iter().filter(|control| self.wants(control)) {
            control.evaluate(self.version, &pod, verdict)?;
        }
        Ok(())
    }
}

impl PodSecurityStandards {
    fn wants(&self, control: &Control) -> bool {
        if !self.controls.is_empty() {
            return self.controls.contains(&control.id);
        }
        self.has(control)
            && !CONTROLS.iter().any(|other| other.overrides == Some(control.id) && self.has(other))
    }

    fn has(&self, control: &Control) -> bool {
        control.level <= self.level
            && control.since() <= self.version
            && !self.exempt_controls.contains(&control.id)
    }
}

policy_core::export!(PodSecurityStandards);

#[cfg(test)]
mod tests;
