//! Which policies are asked, and with which settings: from the command line, from `policies.yaml`, or all of them.

use std::path::Path;

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::{Arena, Configured, Entry, Field, Value, yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::args::Selection;
use crate::input;

/// `policies.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    policies: Vec<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfiguredPolicy {
    name: String,
    #[serde(default)]
    settings: serde_json::Value,
}

/// The policies that are asked for, in the catalog's order.
///
/// # Errors
/// A file that cannot be read, a policy that does not exist, settings that it does not take.
pub fn select(selection: &Selection) -> anyhow::Result<Vec<Configured>> {
    let mut wanted: Vec<(&'static Entry, String)> = match &selection.config {
        Some(path) => from_file(path).with_context(|| path.display().to_string())?,
        None => POLICIES.iter().map(|entry| (entry, String::new())).collect(),
    };
    for name in &selection.policies {
        let entry = find(name)?;
        if !wanted.iter().any(|(wanted, _)| wanted.about.name == entry.about.name) {
            bail!("--policy {name}: the config file does not list it");
        }
    }
    if !selection.policies.is_empty() {
        wanted.retain(|(entry, _)| selection.policies.iter().any(|name| name == entry.about.name));
    }
    for set in &selection.settings {
        let Some((name, settings)) = set.split_once('=') else {
            bail!("--set {set}: must be NAME={{json}}");
        };
        let name = find(name).context("--set")?.about.name;
        let Some((_, current)) = wanted.iter_mut().find(|(entry, _)| entry.about.name == name) else {
            bail!("--set {name}: the policy is not among those that are asked");
        };
        settings.clone_into(current);
    }
    if wanted.is_empty() {
        bail!("no policy is listed, so that everything would be admitted");
    }
    let configure = |(entry, settings): &(&'static Entry, String)| {
        Ok(Configured { about: entry.about, policy: (entry.configure)(settings)? })
    };
    wanted.iter().map(configure).collect()
}

/// The policy of that name.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn find(name: &str) -> anyhow::Result<&'static Entry> {
    policy_catalog::find(name).with_context(|| {
        let names: Vec<&str> = POLICIES.iter().map(|entry| entry.about.name).collect();
        format!("there is no policy `{name}`; there are: {}", names.join(", "))
    })
}

fn from_file(path: &Path) -> anyhow::Result<Vec<(&'static Entry, String)>> {
    let text = input::read_file(path)?;
    let arena = Arena::new();
    let documents = yaml::documents(&text);
    let [document] = documents.as_slice() else { bail!("must be one YAML document, is {}", documents.len()) };
    let value = document
        .decode(&arena)
        .map_err(|error| anyhow::anyhow!("{}: {error}", error.position))?
        .context("the file is empty")?;
    let places = document.places();
    let root = Field::root(value, &arena);
    let at = |field: Field<'_>| places.of(&field.path());
    Config::deserialize(value).map_err(|error| anyhow::anyhow!("{}: {error}", at(root)))?;
    let mut wanted: Vec<(&'static Entry, String)> = Vec::new();
    for item in root.at("policies").items()? {
        let policy = item.value()?.copied().unwrap_or(Value::Null);
        let policy = ConfiguredPolicy::deserialize(policy)
            .map_err(|error| anyhow::anyhow!("{}: {error}", at(item)))?;
        let entry = find(&policy.name).with_context(|| at(item.at("name")).to_string())?;
        if wanted.iter().any(|(wanted, _)| wanted.about.name == entry.about.name) {
            bail!("{}: policy `{}` is listed twice", at(item), policy.name);
        }
        let settings = policy.settings.to_string();
        (entry.configure)(&settings).with_context(|| at(item.at("settings")).to_string())?;
        wanted.push((entry, settings));
    }
    wanted.sort_by_key(|(entry, _)| entry.about.name);
    Ok(wanted)
}
