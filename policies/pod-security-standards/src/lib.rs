//! The Pod Security Standards of Kubernetes: all controls, levels and versions, with the same verdicts as upstream.

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

/// Enforces one level and version of the Pod Security Standards for pods and for the workloads that create them.
///
/// ## What it denies
///
/// A pod, or a workload with a pod template, that violates the Pod Security Standards at the chosen level. `baseline` prevents
/// known privilege escalations; `restricted` also enforces current pod hardening practices. The findings name each violating
/// field of each container, init container and ephemeral container.
///
/// The verdicts match Kubernetes' own admission (`k8s.io/pod-security-admission`) in every version since v1.0. If a control
/// changed, the version decides: host probes are checked since v1.34, and a pod with its own user namespace
/// (`hostUsers: false`) may run as root since v1.35.
///
/// ## Why
///
/// A container with more privileges than these standards allow can reach the node's devices, files or network, and through
/// them the other pods of the node. Kubernetes' own admission denies such pods, but only warns about the Deployments that
/// create them, so a rollout stops without a visible error. This policy denies the Deployment.
///
/// ## Notes and limits
///
/// - An update is evaluated if it can change the verdict: if it changes an image, a container, an ephemeral container or a pod
///   template. You can still update the labels and finalizers of pods that are older than the policy.
/// - Restricted controls replace their baseline counterparts. As upstream, a pod with `spec.os.name: windows` is exempt from
///   `allowPrivilegeEscalation`, `capabilities_restricted` and `seccompProfile_restricted` since v1.25.
/// - If a volume has two sources, which the API server rejects, both are checked. Upstream checks only the first it knows.
/// - An update of a pod that is being deleted, such as the removal of a finalizer, is admitted even if it also changes the
///   spec. Updates that change its labels or ephemeral containers are evaluated.
/// - A pod is denied if it has no containers, more than 5,000 in one list, or a field of the wrong type, because it cannot be
///   evaluated.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct PodSecurityStandards {
    /// The level to enforce.
    pub level: Level,
    /// The version of the standards: `latest`, or a minor version of Kubernetes such as `v1.29`. A version newer than the
    /// policy knows is treated as the newest known version.
    pub version: Version,
    /// Evaluate only these controls, regardless of the level. If empty, evaluate all controls of the level.
    pub controls: Vec<ControlId>,
    /// Skip these controls. If you exempt a restricted control, the baseline control that it replaces is evaluated.
    pub exempt_controls: Vec<ControlId>,
    /// Custom kinds that create pods, in addition to the built-in kinds.
    pub pod_templates: Vec<PodTemplate>,
}

impl Policy for PodSecurityStandards {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "pod-security-standards",
        title: "Pod Security Standards",
        summary: "Denies pods and workloads that the Pod Security Standards forbid at the chosen level and version.",
        remediation: "Change each named field to what its message allows, or add an exception for the workload to policies.yaml.",
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

    /// Rejects controls that are newer than the version, because they would silently check nothing.
    fn validate(&self) -> Result<(), String> {
        self.pod_templates.iter().try_for_each(PodTemplate::validate)?;
        let too_old = |id: &&ControlId| CONTROLS.iter().any(|c| c.id == **id && c.since() > self.version);
        if let Some(id) = self.controls.iter().find(|id| self.exempt_controls.contains(id)) {
            return Err(format!("controls: `{}` is also in exemptControls", id.as_str()));
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
