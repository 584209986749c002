//! The list of policies, and the files that are generated from them.

#[rustfmt::skip]
mod cases;
pub mod render;

use policy_core::{Configure, PolicyDefinition, PolicyMetadata};

pub use cases::cases;

/// All policies, sorted by name. Add a new policy here.
pub const POLICIES: &[PolicyDefinition] = &[
    PolicyDefinition::of::<config_references::ConfigReferences>(),
    PolicyDefinition::of::<exporter_sidecar::ExporterSidecar>(),
    PolicyDefinition::of::<metric_path::MetricPath>(),
    PolicyDefinition::of::<network_policy_required::NetworkPolicyRequired>(),
    PolicyDefinition::of::<pod_security_standards::PodSecurityStandards>(),
    PolicyDefinition::of::<prometheus_labels::PrometheusLabels>(),
];

/// All policies without their schemas, for the browser. The linker drops unused code, and schema generation would be a tenth
/// of the Wasm module.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
pub const CONFIGURES: [(&PolicyMetadata, Configure); POLICIES.len()] = {
    let mut configures = [(POLICIES[0].metadata, POLICIES[0].configure); POLICIES.len()];
    let mut i = 0;
    while i < POLICIES.len() {
        configures[i] = (POLICIES[i].metadata, POLICIES[i].configure);
        i += 1;
    }
    configures
};

/// Returns the policy with that name.
pub fn find(name: &str) -> Option<&'static PolicyDefinition> {
    POLICIES.iter().find(|entry| entry.metadata.name == name)
}
