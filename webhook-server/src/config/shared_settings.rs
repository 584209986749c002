//! Settings that several policies share.

use anyhow::Context as _;
use policy_core::yaml::FieldPositions;
use policy_core::{Field, PolicyDefinition};
use policy_kubernetes::PodTemplate;
use policy_kubernetes::reachability::Prometheus;

use super::decode::decode;

/// Shared settings. They apply to every policy that has a setting with the same name and does not set it itself.
#[derive(Default)]
pub(super) struct SharedSettings {
    /// Custom kinds that create pods.
    pub(super) pod_templates: Vec<PodTemplate>,
    /// The values by name, as JSON.
    values: Vec<(&'static str, serde_json::Value)>,
}

impl SharedSettings {
    pub(super) fn read(root: Field<'_>, places: &FieldPositions) -> anyhow::Result<Self> {
        let mut shared = SharedSettings::default();
        for item in root.at("podTemplates").items()? {
            let row: PodTemplate = decode(item, places)?;
            let at = || places.of(&item.path()).to_string();
            row.validate().map_err(anyhow::Error::msg).with_context(at)?;
            if shared.pod_templates.iter().any(|other| other.is(&row.group, &row.kind)) {
                anyhow::bail!(
                    "{}: podTemplates: kind: `{}` of `{}` is listed twice",
                    at(),
                    row.kind,
                    row.group
                );
            }
            shared.pod_templates.push(row);
        }
        if !shared.pod_templates.is_empty() {
            shared.values.push(("podTemplates", serde_json::to_value(&shared.pod_templates)?));
        }
        if root.at("prometheus").is_set()? {
            let prometheus: Prometheus = decode(root.at("prometheus"), places)?;
            shared.values.push(("prometheus", serde_json::to_value(prometheus)?));
        }
        Ok(shared)
    }

    /// Adds the shared settings to the settings of a policy.
    pub(super) fn add_to(&self, entry: &PolicyDefinition, settings: String) -> anyhow::Result<String> {
        let mut added = self.values.iter().filter(|(name, _)| entry.has_setting(name)).peekable();
        if added.peek().is_none() {
            return Ok(settings);
        }
        let mut value = match settings.as_str() {
            "" | "null" => serde_json::json!({}),
            text => serde_json::from_str(text)?,
        };
        if let Some(members) = value.as_object_mut() {
            for (name, value) in added {
                members.entry(*name).or_insert_with(|| value.clone());
            }
        }
        Ok(value.to_string())
    }
}
