//! Which policies exist, and every file that is rendered from them.

#[rustfmt::skip]
mod cases;
pub mod render;

use policy_core::{About, Configure, Entry};

pub use cases::cases;

/// All policies, by name. A policy that is not in this list does not exist.
pub const POLICIES: &[Entry] = &[
    Entry::of::<config_references::ConfigReferences>(),
    Entry::of::<exporter_sidecar::ExporterSidecar>(),
    Entry::of::<metric_path::MetricPath>(),
    Entry::of::<network_policy_required::NetworkPolicyRequired>(),
    Entry::of::<pod_security_standards::PodSecurityStandards>(),
    Entry::of::<prometheus_labels::PrometheusLabels>(),
];

/// All policies without their schemas, for the browser: what is not named is not linked, and what makes schemas would
/// be a tenth of its module.
#[expect(clippy::indexing_slicing, reason = "when it is compiled: what is not there does not compile")]
pub const CONFIGURES: [(&About, Configure); POLICIES.len()] = {
    let mut configures = [(POLICIES[0].about, POLICIES[0].configure); POLICIES.len()];
    let mut i = 0;
    while i < POLICIES.len() {
        configures[i] = (POLICIES[i].about, POLICIES[i].configure);
        i += 1;
    }
    configures
};

/// The policy of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    POLICIES.iter().find(|entry| entry.about.name == name)
}
