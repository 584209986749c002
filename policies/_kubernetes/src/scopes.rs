//! Scopes that several policies share. The kinds that create pods come from the table of workload kinds.

use policy_core::scope::{CHANGES, CREATION, Resource, Subresources};
use policy_core::{Scope, WatchedKind};

use crate::inventory::{MONITORING, POD_MONITOR, SERVICE_MONITOR};
use crate::workloads::WORKLOAD_KINDS;

const PODS: Resource = Resource::new("", "v1", "Pod", "pods", CHANGES);

/// Pods with their ephemeral containers and resizes. Unknown subresources, as of newer API servers, are evaluated as well
/// (pod-security-admission, `admission.go`).
const PODS_AND_SUBRESOURCES: Resource = Resource {
    subresources: Subresources::AllBut {
        known: &["ephemeralcontainers", "resize"],
        ignored: &["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"],
    },
    ..PODS
};

const NETWORK_POLICIES: Resource = Resource::new(
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
    &[policy_core::Operation::Create, policy_core::Operation::Update, policy_core::Operation::Delete],
);

/// `first`, the resources of all workload kinds, and then `last` up to a length of `N`.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
const fn with_workloads<const N: usize>(first: Resource, last: Resource) -> [Resource; N] {
    let mut resources = [last; N];
    resources[0] = first;
    let mut i = 0;
    while i < WORKLOAD_KINDS.len() {
        let row = &WORKLOAD_KINDS[i];
        resources[i + 1] = Resource::new(row.group, row.version, row.kind, row.plural, CHANGES);
        i += 1;
    }
    resources
}

/// Pods with their ephemeral containers and resizes, and the kinds that create pods.
pub const PODS_AND_WORKLOADS: Scope =
    Scope { resources: &with_workloads::<{ WORKLOAD_KINDS.len() + 1 }>(PODS_AND_SUBRESOURCES, PODS) };

/// Pods, the kinds that create pods, and NetworkPolicies, including their deletion.
pub const PODS_WORKLOADS_AND_NETWORK_POLICIES: Scope =
    Scope { resources: &with_workloads::<{ WORKLOAD_KINDS.len() + 2 }>(PODS, NETWORK_POLICIES) };

/// The creation of pods, because most fields of a pod are immutable, and workloads are managed in Git.
pub const NEW_PODS: Scope = Scope { resources: &[Resource::new("", "v1", "Pod", "pods", CREATION)] };

/// The creation of pods and Services.
pub const NEW_PODS_AND_SERVICES: Scope = Scope {
    resources: &[
        Resource::new("", "v1", "Pod", "pods", CREATION),
        Resource::new("", "v1", "Service", "services", CREATION),
    ],
};

/// HorizontalPodAutoscalers, ServiceMonitors and PodMonitors.
pub const AUTOSCALERS_AND_MONITORS: Scope = Scope {
    resources: &[
        Resource::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", CHANGES),
        Resource::new(MONITORING, "v1", POD_MONITOR.kind, "podmonitors", CHANGES),
        Resource::new(MONITORING, "v1", SERVICE_MONITOR.kind, "servicemonitors", CHANGES),
    ],
};

/// The number of built-in workload kinds.
pub const WORKLOADS: usize = WORKLOAD_KINDS.len();

/// The kinds that a policy about the pods of all workloads reads: the workload kinds and `others`.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
pub const fn with_workloads_read<const N: usize>(others: &[WatchedKind]) -> [WatchedKind; N] {
    let mut reads = [WatchedKind::of("", "Pod", &[]); N];
    let mut i = 0;
    while i < WORKLOADS {
        let row = &WORKLOAD_KINDS[i];
        reads[i] = WatchedKind { group: row.group, version: row.version, kind: row.kind, fields: &["spec"] };
        i += 1;
    }
    while i < N {
        reads[i] = others[i - WORKLOADS];
        i += 1;
    }
    reads
}

/// Whether a scope contains all kinds that create pods. Custom kinds that create pods are then added to it.
pub fn includes_workloads(scope: &Scope) -> bool {
    let contains = |kind: &str, group: &str| {
        scope.resources.iter().any(|resource| resource.kind == kind && resource.group == group)
    };
    WORKLOAD_KINDS.iter().all(|row| contains(row.kind, row.group))
}
