//! What a policy is: its name and scope, what it reads, its controls. Documentation, webhook rules, RBAC and metadata.yml are
//! rendered from it.

use crate::kinds;
use crate::scope::Scope;

/// What a policy is: for `pratique policies`, its documentation, `metadata.yml` and webhook rules.
#[derive(Debug)]
pub struct PolicyMetadata {
    /// The one name: of its folder, its crate, its documentation, its module, its metrics.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// What to do about a denial; a sentence.
    pub remediation: &'static str,
    /// The address of the specification that it follows.
    pub source: &'static str,
    /// How bad it is to go without.
    pub severity: Severity,
    /// The subject that it belongs to.
    pub category: Category,
    /// The parts that can be exempt and excepted one by one; none if it is all or nothing. A policy with controls has the setting
    /// `exemptControls`.
    pub controls: &'static [ControlMetadata],
    /// Which requests it evaluates.
    pub scope: Scope,
    /// Which objects of the cluster it reads, beside the one that it evaluates.
    pub reads: &'static [WatchedKind],
    /// How much it must know to decide.
    pub context: Context,
    /// Whether it ever changes an object.
    pub mutates: bool,
    /// Whether it ever denies an object that it can read: the rules of the validating webhook come from those that do.
    pub denies: bool,
}

impl PolicyMetadata {
    /// Whether it is for complete manifest sets only: `check` evaluates it, no webhook and no Kubewarden does.
    pub fn for_manifest_sets(&self) -> bool {
        self.context == Context::ManifestSet
    }

    /// Whether it can decide nothing by an object alone. It is skipped unless a cluster is known or it is named.
    pub fn needs_cluster(&self) -> bool {
        self.context != Context::Object
    }

    /// The control of that name.
    pub fn control(&self, id: &str) -> Option<&'static ControlMetadata> {
        self.controls.iter().find(|control| control.id == id)
    }
}

/// How much a policy must know to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The object. Other objects that it reads make it more exact, and it decides without them.
    Object,
    /// The cluster, or a manifest set that stands for it.
    Cluster,
    /// A complete manifest set. In a cluster the objects arrive one after the other, so that the verdict would depend on their
    /// order.
    ManifestSet,
}

/// The subject of a policy, as Kubewarden's catalog has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// What pods are and may do.
    PodSecurity,
    /// Who can connect to whom.
    NetworkSecurity,
    /// Metrics and what leads to them.
    Observability,
}

impl Category {
    /// As metadata.yml writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::PodSecurity => "Pod security",
            Category::NetworkSecurity => "Network security",
            Category::Observability => "Observability",
        }
    }
}

/// A part of a policy that can be exempt, and excepted for a workload; declared by [`controls!`](crate::controls).
#[derive(Debug, PartialEq, Eq)]
pub struct ControlMetadata {
    /// The name in settings, messages and exceptions.
    pub id: &'static str,
    /// One sentence: what holds when it denies nothing.
    pub title: &'static str,
    /// What to do about a denial; a sentence.
    pub remediation: &'static str,
    /// The control that it replaces, and that stays in force if this one is exempt.
    pub replaces: Option<&'static str>,
    /// Whether the right value follows from the control alone, so that a tool can write it.
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

/// Declares the controls of a policy: the enum `ControlId` for its settings and messages, and `CONTROLS` for its metadata.
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
        /// A part of the policy that can be exempt, or excepted for a workload.
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

/// A kind of objects that a policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedKind {
    /// `networking.k8s.io`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// The fields that are looked at, beside `metadata.name` and `metadata.namespace`: a host need not keep others.
    pub fields: &'static [&'static str],
}

impl WatchedKind {
    /// Namespaces: their labels, and whether they are being deleted.
    pub const NAMESPACE: WatchedKind =
        WatchedKind::of("", "Namespace", &["metadata.deletionTimestamp", "metadata.labels"]);
    /// NetworkPolicies, and whether they are being deleted.
    pub const NETWORK_POLICY: WatchedKind =
        WatchedKind::of("networking.k8s.io", "NetworkPolicy", &["metadata.deletionTimestamp", "spec"]);
    /// Pods: their labels, and whether they run, and where.
    pub const POD: WatchedKind = WatchedKind::of(
        "",
        "Pod",
        &["metadata.deletionTimestamp", "metadata.labels", "spec.hostNetwork", "status.phase"],
    );
    /// Services, for what they select.
    pub const SERVICE: WatchedKind = WatchedKind::of("", "Service", &["spec.selector"]);

    /// A kind of version v1, and the fields of it that are looked at.
    pub const fn of(group: &'static str, kind: &'static str, fields: &'static [&'static str]) -> Self {
        WatchedKind { group, version: "v1", kind, fields }
    }

    /// The kind's resource, as roles name it: `networkpolicies`.
    pub fn plural(&self) -> String {
        kinds::plural(self.kind)
    }
}

/// How bad it is to go without a policy; the words are Kubewarden's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The node or the cluster is lost.
    Critical,
    /// A container gets what it should not have.
    High,
    /// Something does not work as it should.
    Medium,
    /// A habit.
    Low,
}

impl Severity {
    /// As metadata.yml writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}
