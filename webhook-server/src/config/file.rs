//! `policies.yaml` as it is written, and what is wrong with it, by line.

use std::path::Path;

use anyhow::{Context as _, bail};
use policy_core::path::Segment;
use policy_core::yaml::Places;
use policy_core::{Arena, Field, FieldPath, PolicyDefinition, Value, yaml};
use policy_kubernetes::PodTemplate;
use policy_kubernetes::reachability::Prometheus;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::exceptions::{Exception, ExceptionEntry};
use super::{Listed, Mode, Selected, find};
use crate::sources;

/// The file. `schema.rs` says the same to editors.
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
    #[expect(dead_code, reason = "read by itself, so that an error has its line")]
    #[serde(default)]
    prometheus: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an object with a name")]
struct WrittenPolicy {
    name: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    namespace_selector: Option<serde_json::Value>,
    #[serde(default)]
    settings: serde_json::Value,
}

/// What a file says, before the command line adds to it.
pub(super) struct Wanted {
    pub(super) policies: Vec<Selected>,
    pub(super) exceptions: Vec<Exception>,
    /// The settings that several policies share.
    pub(super) shared: SharedSettings,
    /// Whether somebody chose these, or they are all there are.
    pub(super) chosen: bool,
}

impl Wanted {
    pub(super) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let text = sources::read_file(path).with_context(named)?;
        Wanted::parse(&text, path).with_context(named)
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
        let mut policies: Vec<Selected> = Vec::new();
        for item in root.at("policies").items()? {
            let selected = selected(item, &shared, &places)?;
            let name = selected.name();
            if policies.iter().any(|other| other.name() == name) {
                bail!("{}: policy `{name}` is listed twice", at(item));
            }
            policies.push(selected);
        }
        if policies.is_empty() {
            bail!("{}: no policy is listed, so that everything would be admitted", at(root.at("policies")));
        }
        policies.sort_by_key(Selected::name);
        let mut exceptions: Vec<Exception> = Vec::new();
        for item in root.at("exceptions").items()? {
            let written: ExceptionEntry = decode(item, &places)?;
            let exception = written.check(path, at(item)).with_context(|| at(item).to_string())?;
            if !policies.iter().any(|selected| selected.name() == exception.policy) {
                bail!("{}: policy `{}` is not listed under `policies`", at(item), exception.policy);
            }
            exceptions.push(exception);
        }
        Ok(Wanted { policies, exceptions, shared, chosen: true })
    }
}

/// One policy, configured.
fn selected(item: Field<'_>, shared: &SharedSettings, places: &Places) -> anyhow::Result<Selected> {
    let at = |field: Field<'_>| places.of(&field.path());
    let policy: WrittenPolicy = decode(item, places)?;
    let entry = find(&policy.name).with_context(|| at(item.at("name")).to_string())?;
    let settings = shared.add_to(entry, policy.settings.to_string())?;
    let configured = (entry.configure)(&settings).with_context(|| at(item.at("settings")).to_string())?;
    let namespace_selector = policy.namespace_selector.map(|selector| selector.to_string());
    let listed = Listed { entry, mode: policy.mode, settings, namespace_selector };
    let named = || format!("{}: namespaceSelector", at(item.at("namespaceSelector")));
    Selected::new(listed, configured).with_context(named)
}

/// Settings that are written once, for every policy that has a setting of that name and does not set it itself.
#[derive(Default)]
pub(super) struct SharedSettings {
    /// Custom kinds that make pods.
    pub(super) pod_templates: Vec<PodTemplate>,
    /// By name, as JSON.
    values: Vec<(&'static str, serde_json::Value)>,
}

impl SharedSettings {
    fn read(root: Field<'_>, places: &Places) -> anyhow::Result<Self> {
        let mut shared = SharedSettings::default();
        for item in root.at("podTemplates").items()? {
            let row: PodTemplate = decode(item, places)?;
            let at = || places.of(&item.path()).to_string();
            row.validate().map_err(anyhow::Error::msg).with_context(at)?;
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

    /// The settings of a policy with those that it shares.
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

/// An item as it is written; where it is none, the field that is at fault, and its place.
fn decode<'a, T: Deserialize<'a>>(item: Field<'a>, places: &Places) -> anyhow::Result<T> {
    use serde_path_to_error::Segment as Step;
    let value = item.value()?.copied().unwrap_or(Value::Null);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (mut path, mut named) = (item.path(), FieldPath(Vec::new()));
        for step in error.path().iter() {
            let segment = match step {
                Step::Map { key } => Segment::Key(key.clone()),
                Step::Seq { index } => Segment::Index(*index),
                Step::Enum { .. } | Step::Unknown => break,
            };
            path.0.push(segment.clone());
            named.0.push(segment);
        }
        let (place, fault) = (places.of(&path), error.inner());
        match named.0.is_empty() {
            true => anyhow::anyhow!("{place}: {fault}"),
            false => anyhow::anyhow!("{place}: {named}: {fault}"),
        }
    })
}
