//! Which policies exist, and every file that is rendered from them.

#[rustfmt::skip]
mod cases;
pub mod render;

use policy_core::{Configure, PolicyDefinition, PolicyMetadata};

pub use cases::cases;

/// All policies, by name. A policy that is not in this list does not exist.
pub const POLICIES: &[PolicyDefinition] = &[
    PolicyDefinition::of::<config_references::ConfigReferences>(),
    PolicyDefinition::of::<exporter_sidecar::ExporterSidecar>(),
    PolicyDefinition::of::<metric_path::MetricPath>(),
    PolicyDefinition::of::<network_policy_required::NetworkPolicyRequired>(),
    PolicyDefinition::of::<pod_security_standards::PodSecurityStandards>(),
    PolicyDefinition::of::<prometheus_labels::PrometheusLabels>(),
];

/// All policies without their schemas, for the browser: what is not named is not linked, and what makes schemas would
/// be a tenth of its module.
#[expect(clippy::indexing_slicing, reason = "when it is compiled: what is not there does not compile")]
pub const CONFIGURES: [(&PolicyMetadata, Configure); POLICIES.len()] = {
    let mut configures = [(POLICIES[0].metadata, POLICIES[0].configure); POLICIES.len()];
    let mut i = 0;
    while i < POLICIES.len() {
        configures[i] = (POLICIES[i].metadata, POLICIES[i].configure);
        i += 1;
    }
    configures
};

/// The policy of that name.
pub fn find(name: &str) -> Option<&'static PolicyDefinition> {
    POLICIES.iter().find(|entry| entry.metadata.name == name)
}
