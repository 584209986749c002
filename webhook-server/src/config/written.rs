//! `policies.yaml` as it is written, and what is wrong with it, by line.

use std::path::Path;

use anyhow::{Context as _, bail};
use policy_core::path::Segment;
use policy_core::yaml::Places;
use policy_core::{Arena, Field, FieldPath, Value, yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::namespaces::Limited;
use super::{Listed, Mode, find};
use crate::exceptions::{self, Exception};
use crate::input;

/// The file. `schema.rs` says the same to editors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a list `policies`")]
struct Written {
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    policies: Vec<IgnoredAny>,
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    #[serde(default)]
    exceptions: Option<Vec<IgnoredAny>>,
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
    pub(super) policies: Vec<Listed>,
    pub(super) exceptions: Vec<Exception>,
    /// Whether somebody chose these, or they are all there are.
    pub(super) chosen: bool,
}

impl Wanted {
    pub(super) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let text = input::read_file(path).with_context(named)?;
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
        Written::deserialize(value).map_err(|error| anyhow::anyhow!("{}: {error}", at(root)))?;
        let mut policies: Vec<Listed> = Vec::new();
        for item in root.at("policies").items()? {
            let listed = listed(item, &places)?;
            if policies.iter().any(|other| other.entry.about.name == listed.entry.about.name) {
                bail!("{}: policy `{}` is listed twice", at(item), listed.entry.about.name);
            }
            policies.push(listed);
        }
        if policies.is_empty() {
            bail!("{}: no policy is listed, so that everything would be admitted", at(root.at("policies")));
        }
        policies.sort_by_key(|listed| listed.entry.about.name);
        let mut exceptions: Vec<Exception> = Vec::new();
        for item in root.at("exceptions").items()? {
            let written: exceptions::Written = decode(item, &places)?;
            let exception = written.check(path, at(item)).with_context(|| at(item).to_string())?;
            if !policies.iter().any(|listed| listed.entry.about.name == exception.policy) {
                bail!("{}: policy `{}` is not listed under `policies`", at(item), exception.policy);
            }
            exceptions.push(exception);
        }
        Ok(Wanted { policies, exceptions, chosen: true })
    }
}

/// One policy, of which everything can be used.
fn listed(item: Field<'_>, places: &Places) -> anyhow::Result<Listed> {
    let at = |field: Field<'_>| places.of(&field.path());
    let policy: WrittenPolicy = decode(item, places)?;
    let entry = find(&policy.name).with_context(|| at(item.at("name")).to_string())?;
    let settings = policy.settings.to_string();
    let configured = (entry.configure)(&settings).with_context(|| at(item.at("settings")).to_string())?;
    let namespace_selector = policy.namespace_selector.map(|selector| selector.to_string());
    if let Some(selector) = &namespace_selector {
        let named = || format!("{}: namespaceSelector", at(item.at("namespaceSelector")));
        Limited::new(configured, selector).with_context(named)?;
    }
    Ok(Listed { entry, mode: policy.mode, settings, namespace_selector })
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
