//! Which policies exist, and every file that is rendered from them.

#[rustfmt::skip]
mod cases;
pub mod render;

use policy_core::Entry;

pub use cases::cases;

/// All policies, by name. A policy that is not in this list does not exist.
pub const POLICIES: &[Entry] = &[
    Entry::of::<exporter_sidecar::ExporterSidecar>(),
    Entry::of::<network_policy_required::NetworkPolicyRequired>(),
    Entry::of::<pod_security_standards::PodSecurityStandards>(),
    Entry::of::<prometheus_labels::PrometheusLabels>(),
];

/// The policy of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    POLICIES.iter().find(|entry| entry.about.name == name)
}
