//! Metadata of a policy: its name and scope, the kinds that it reads, and its controls. Documentation, webhook rules, RBAC and
//! metadata.yml are rendered from it.

use crate::kinds;
use crate::scope::Scope;

/// Metadata of a policy, used by `pratique policies`, its documentation, `metadata.yml` and webhook rules.
#[derive(Debug)]
pub struct PolicyMetadata {
    /// The name of the policy, also used for its folder, crate, documentation, module and metrics.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// One sentence that describes the policy.
    pub summary: &'static str,
    /// How to fix a denial; one sentence.
    pub remediation: &'static str,
    /// The URL of the specification that the policy follows.
    pub source: &'static str,
    /// The severity of a violation.
    pub severity: Severity,
    /// The category of the policy.
    pub category: Category,
    /// The controls, which can be exempted and excepted one by one; empty if the policy has none. A policy with controls has the
    /// setting `exemptControls`.
    pub controls: &'static [ControlMetadata],
    /// The requests that it evaluates.
    pub scope: Scope,
    /// The kinds of cluster objects that it reads in addition to the object under review.
    pub reads: &'static [WatchedKind],
    /// The data that it needs to decide.
    pub context: Context,
    /// Whether it can change objects.
    pub mutates: bool,
    /// Whether it can deny an object that it can read. The rules of the validating webhook come from the policies that can.
    pub denies: bool,
}

impl PolicyMetadata {
    /// Whether it is only for complete manifest sets: it runs in `check`, but not in webhooks or Kubewarden.
    pub fn for_manifest_sets(&self) -> bool {
        self.context == Context::ManifestSet
    }

    /// Whether it cannot decide from the object alone. Without cluster data, it is skipped unless you name it explicitly.
    pub fn needs_cluster(&self) -> bool {
        self.context != Context::Object
    }

    /// The control with that ID.
    pub fn control(&self, id: &str) -> Option<&'static ControlMetadata> {
        self.controls.iter().find(|control| control.id == id)
    }
}

/// The data that a policy needs to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The object alone. Cluster data makes the verdict more precise, but is optional.
    Object,
    /// The cluster, or a manifest set in its place.
    Cluster,
    /// A complete manifest set. In a cluster, objects arrive one at a time, so the verdict would depend on their order.
    ManifestSet,
}

/// The category of a policy, as in Kubewarden's catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Security settings and permissions of pods.
    PodSecurity,
    /// Network connections between workloads.
    NetworkSecurity,
    /// Metrics and their collection.
    Observability,
}

impl Category {
    /// The name in metadata.yml.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::PodSecurity => "Pod security",
            Category::NetworkSecurity => "Network security",
            Category::Observability => "Observability",
        }
    }
}

/// A part of a policy that can be exempted, or excepted for a workload; declared by [`controls!`](crate::controls).
#[derive(Debug, PartialEq, Eq)]
pub struct ControlMetadata {
    /// The name in settings, messages and exceptions.
    pub id: &'static str,
    /// One sentence: the condition that holds if the control denies nothing.
    pub title: &'static str,
    /// How to fix a denial; one sentence.
    pub remediation: &'static str,
    /// The control that it replaces. That control still applies if this one is exempt.
    pub replaces: Option<&'static str>,
    /// Whether the control alone determines the correct value, so that a tool can write the fix.
    pub has_fix: bool,
}

impl ControlMetadata {
    /// A control; `title` may start with the space of a doc comment.
    pub const fn new(
        id: &'static str,
        title: &'static str,
        remediation: &'static str,
        replaces: Option<&'static str>,
        has_fix: bool,
    ) -> Self {
        ControlMetadata { id, title: title.trim_ascii(), remediation, replaces, has_fix }
    }
}

/// Declares the controls of a policy: the enum `ControlId` for settings and messages, and `CONTROL_METADATA` for its metadata.
///
/// ```text
/// policy_core::controls! {
///     /// No privileged containers.
///     Privileged = "privileged" { remediation: "Remove `privileged`.", fix: true },
///     /// `/proc` is masked, user namespace or not.
///     ProcMountRestricted = "procMount_restricted" { remediation: "Remove `procMount`.", fix: true, replaces: "procMount" },
/// }
/// ```
#[macro_export]
macro_rules! controls {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal {
        remediation: $remediation:literal, fix: $fix:literal $(, replaces: $replaces:literal)? $(,)?
    },)+) => {
        /// A part of the policy that can be exempted, or excepted for a workload.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
        )]
        pub enum ControlId {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $id,)+
        }

        impl ControlId {
            /// The name in settings, messages and exceptions.
            pub const fn as_str(self) -> &'static str {
                match self { $(ControlId::$id => $name,)+ }
            }
        }

        /// The metadata of the controls.
        pub(crate) const CONTROL_METADATA: &[$crate::ControlMetadata] = &[$(
            $crate::ControlMetadata::new(
                $name,
                concat!($($doc),+),
                $remediation,
                $crate::controls!(@replaces $($replaces)?),
                $fix,
            ),
        )+];
    };
    (@replaces $replaces:literal) => { Some($replaces) };
    (@replaces) => { None };
}

/// A kind of object that a policy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedKind {
    /// `networking.k8s.io`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// The fields that the policy reads in addition to `metadata.name` and `metadata.namespace`. A host can drop all others.
    pub fields: &'static [&'static str],
}

impl WatchedKind {
    /// Namespaces: their labels, and whether they are being deleted.
    pub const NAMESPACE: WatchedKind =
        WatchedKind::of("", "Namespace", &["metadata.deletionTimestamp", "metadata.labels"]);
    /// NetworkPolicies, and whether they are being deleted.
    pub const NETWORK_POLICY: WatchedKind =
        WatchedKind::of("networking.k8s.io", "NetworkPolicy", &["metadata.deletionTimestamp", "spec"]);
    /// Pods: their labels, phase and `hostNetwork`, and whether they are being deleted.
    pub const POD: WatchedKind = WatchedKind::of(
        "",
        "Pod",
        &["metadata.deletionTimestamp", "metadata.labels", "spec.hostNetwork", "status.phase"],
    );
    /// Services: their selectors.
    pub const SERVICE: WatchedKind = WatchedKind::of("", "Service", &["spec.selector"]);

    /// A kind of version `v1`, and the fields that the policy reads.
    pub const fn of(group: &'static str, kind: &'static str, fields: &'static [&'static str]) -> Self {
        WatchedKind { group, version: "v1", kind, fields }
    }

    /// The resource name in RBAC rules: `networkpolicies`.
    pub fn plural(&self) -> String {
        kinds::plural(self.kind)
    }
}

/// The severity of a violation, in Kubewarden's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The node or the cluster can be taken over.
    Critical,
    /// A container gets access that it should not have.
    High,
    /// Something does not work as intended.
    Medium,
    /// A best practice is not followed.
    Low,
}

impl Severity {
    /// The name in metadata.yml.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}
