//! Reads `policies.yaml`, and reports errors with their line.

use std::path::Path;

use anyhow::{Context as _, bail};
use policy_core::yaml::FieldPositions;
use policy_core::{Arena, Field, yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::decode::decode;
use super::exceptions::{Exception, ExceptionEntry};
use super::selection::{FileSelection, SelectedPolicy};
use super::shared_settings::SharedSettings;
use super::{ListedPolicy, Mode, find};
use crate::sources;

/// The structure of the file. `schema.rs` describes it for editors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a list `policies`")]
struct ConfigFile {
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    policies: Vec<IgnoredAny>,
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    #[serde(default)]
    exceptions: Option<Vec<IgnoredAny>>,
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    #[serde(default, rename = "podTemplates")]
    pod_templates: Option<Vec<IgnoredAny>>,
    #[expect(dead_code, reason = "deserialized separately, so that an error has its line")]
    #[serde(default)]
    prometheus: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an object with a name")]
struct PolicySection {
    name: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    namespace_selector: Option<serde_json::Value>,
    #[serde(default)]
    settings: serde_json::Value,
}

impl FileSelection {
    pub(super) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let text = sources::read_file(path).with_context(named)?;
        FileSelection::parse(&text, path).with_context(named)
    }

    pub(super) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let arena = Arena::new();
        let documents = yaml::documents(text);
        let [document] = documents.as_slice() else {
            bail!("must be one YAML document, is {}", documents.len())
        };
        let value = document
            .decode(&arena)
            .map_err(|error| anyhow::anyhow!("{}: {error}", error.position))?
            .context("the file is empty")?;
        let places = document.places();
        let root = Field::root(value, &arena);
        let at = |field: Field<'_>| places.of(&field.path());
        ConfigFile::deserialize(value).map_err(|error| anyhow::anyhow!("{}: {error}", at(root)))?;
        let shared = SharedSettings::read(root, &places)?;
        let mut policies: Vec<SelectedPolicy> = Vec::new();
        for item in root.at("policies").items()? {
            let selected = selected(item, &shared, &places)?;
            let name = selected.name();
            if policies.iter().any(|other| other.name() == name) {
                bail!("{}: policy `{name}` is listed twice", at(item));
            }
            policies.push(selected);
        }
        if policies.is_empty() {
            bail!("{}: no policy is listed, so everything would be admitted", at(root.at("policies")));
        }
        policies.sort_by_key(SelectedPolicy::name);
        let mut exceptions: Vec<Exception> = Vec::new();
        for item in root.at("exceptions").items()? {
            let written: ExceptionEntry = decode(item, &places)?;
            let exception = written.check(path, at(item)).with_context(|| at(item).to_string())?;
            if !policies.iter().any(|selected| selected.name() == exception.policy) {
                bail!("{}: policy `{}` is not listed under `policies`", at(item), exception.policy);
            }
            exceptions.push(exception);
        }
        Ok(FileSelection { policies, exceptions, shared, chosen: true })
    }
}

/// Reads and configures one policy.
fn selected(
    item: Field<'_>,
    shared: &SharedSettings,
    places: &FieldPositions,
) -> anyhow::Result<SelectedPolicy> {
    let at = |field: Field<'_>| places.of(&field.path());
    let policy: PolicySection = decode(item, places)?;
    let entry = find(&policy.name).with_context(|| at(item.at("name")).to_string())?;
    let settings = shared.add_to(entry, policy.settings.to_string())?;
    let configured = (entry.configure)(&settings).with_context(|| at(item.at("settings")).to_string())?;
    let namespace_selector = policy.namespace_selector.map(|selector| selector.to_string());
    let listed = ListedPolicy { entry, mode: policy.mode, settings, namespace_selector };
    let named = || format!("{}: namespaceSelector", at(item.at("namespaceSelector")));
    SelectedPolicy::new(listed, configured).with_context(named)
}
