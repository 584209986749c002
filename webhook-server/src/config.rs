//! Which policies are asked, with which settings, and what is excepted: from the command line, from `policies.yaml`, or
//! all of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::yaml::Position;
use policy_core::{Arena, Configured, Entry, Field, Value, yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::args::Selection;
use crate::exceptions::{self, Exception, Exceptions};
use crate::input;

/// The name of the file that governs the directory it is in, where `check` and `demo` are given none.
const NAME: &str = "policies.yaml";
/// The name of the file that lists intended flows, where `connectivity --intended` is given it.
const INTENDED: &str = "connectivity.yaml";

/// Which policies are asked, and what is excepted of what they deny.
#[derive(Default)]
pub struct Config {
    /// The policies, in the catalog's order.
    pub policies: Vec<Configured>,
    /// The exceptions of these policies.
    pub exceptions: Exceptions,
    /// Whether it was found in the one directory that is judged, so that all that it governs is seen.
    pub governs_all: bool,
    /// The policies that nobody named, and that can decide nothing without a cluster.
    pub unasked: Vec<&'static str>,
}

/// `policies.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    policies: Vec<IgnoredAny>,
    #[expect(dead_code, reason = "read one by one, so that an error has its line")]
    #[serde(default)]
    exceptions: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a name")]
struct WrittenPolicy {
    name: String,
    #[serde(default)]
    settings: serde_json::Value,
}

/// What a file says, before the command line adds to it.
struct Wanted {
    policies: Vec<(&'static Entry, String)>,
    exceptions: Vec<Exception>,
    /// Whether somebody chose these, or they are all there are.
    chosen: bool,
}

impl Config {
    /// What the command line asks for: a file, or all policies, fewer of them, with other settings. Of all, those that can
    /// decide nothing without a cluster are left out unless one is known.
    ///
    /// # Errors
    /// A file that cannot be read, a policy that does not exist, settings that it does not take.
    pub fn load(selection: &Selection, knows_cluster: bool) -> anyhow::Result<Self> {
        let mut wanted = match &selection.config {
            Some(path) => Wanted::from_file(path)?,
            None => Wanted::all(),
        };
        wanted.chosen |= knows_cluster;
        wanted.select(selection)
    }

    /// As [`Config::load`]; where no file is named, the `policies.yaml` in the directory that is to be judged.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(selection: &Selection, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let found = match paths {
            [path] if selection.config.is_none() => in_directory(path),
            _ => None,
        };
        let Some(file) = found else { return Config::load(selection, false) };
        anstream::eprintln!("pratique: policies and exceptions as {} has them", file.display());
        let config = Wanted::from_file(&file)?.select(selection)?;
        Ok(Config { governs_all: true, ..config })
    }

    /// The configuration that stands in a text; `path` is how errors name it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let wanted = Wanted::parse(text, path).with_context(|| path.display().to_string())?;
        wanted.select(&Selection::default())
    }
}

impl Config {
    /// Whether any of the policies changes objects.
    pub fn mutates(&self) -> bool {
        self.policies.iter().any(|configured| configured.about.mutates)
    }
}

/// These policies, and no exception.
impl From<Vec<Configured>> for Config {
    fn from(policies: Vec<Configured>) -> Self {
        Config { policies, ..Config::default() }
    }
}

/// The configuration in a directory, if it has one: its file `policies.yaml`, unless that is a Kubernetes object. What
/// cannot be read is a configuration too, and an error to whoever reads it.
pub fn in_directory(directory: &Path) -> Option<PathBuf> {
    governing(directory, NAME)
}

/// The files in a directory that say something of its manifests and are none: the configuration, and the list of intended
/// flows.
pub(crate) fn beside_manifests(directory: &Path) -> Vec<PathBuf> {
    [NAME, INTENDED].iter().filter_map(|name| governing(directory, name)).collect()
}

fn governing(directory: &Path, name: &str) -> Option<PathBuf> {
    let file = directory.join(name);
    if !file.is_file() {
        return None;
    }
    let text = input::read_file(&file).unwrap_or_default();
    let arena = Arena::new();
    let is_object = |value: Value<'_>| {
        let root = Field::root(value, &arena);
        let has = |key: &'static str| root.at(key).is_set().unwrap_or(false);
        has("apiVersion") || has("kind")
    };
    let first = yaml::documents(&text).first().and_then(|document| document.decode(&arena).ok().flatten());
    (!first.is_some_and(is_object)).then_some(file)
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

impl Wanted {
    fn all() -> Self {
        let policies = POLICIES.iter().map(|entry| (entry, String::new())).collect();
        Wanted { policies, exceptions: Vec::new(), chosen: false }
    }

    fn from_file(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let text = input::read_file(path).with_context(named)?;
        Wanted::parse(&text, path).with_context(named)
    }

    fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
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
        let mut policies: Vec<(&'static Entry, String)> = Vec::new();
        for item in root.at("policies").items()? {
            let policy: WrittenPolicy = decode(item, at(item))?;
            let entry = find(&policy.name).with_context(|| at(item.at("name")).to_string())?;
            if policies.iter().any(|(wanted, _)| wanted.about.name == entry.about.name) {
                bail!("{}: policy `{}` is listed twice", at(item), policy.name);
            }
            let settings = policy.settings.to_string();
            (entry.configure)(&settings).with_context(|| at(item.at("settings")).to_string())?;
            policies.push((entry, settings));
        }
        policies.sort_by_key(|(entry, _)| entry.about.name);
        let mut exceptions: Vec<Exception> = Vec::new();
        for item in root.at("exceptions").items()? {
            let written: exceptions::Written = decode(item, at(item))?;
            let exception = written.check(path, at(item)).with_context(|| at(item).to_string())?;
            if !policies.iter().any(|(entry, _)| entry.about.name == exception.policy) {
                bail!("{}: policy `{}` is not listed under `policies`", at(item), exception.policy);
            }
            exceptions.push(exception);
        }
        Ok(Wanted { policies, exceptions, chosen: true })
    }

    /// What the command line leaves of it, with the settings that it gives.
    fn select(self, selection: &Selection) -> anyhow::Result<Config> {
        let Wanted { policies: mut wanted, mut exceptions, chosen } = self;
        let mut unasked = Vec::new();
        for name in &selection.policies {
            let entry = find(name)?;
            if !wanted.iter().any(|(wanted, _)| wanted.about.name == entry.about.name) {
                bail!("--policy {name}: the config file does not list it");
            }
        }
        if !selection.policies.is_empty() {
            wanted.retain(|(entry, _)| selection.policies.iter().any(|name| name == entry.about.name));
        } else if !chosen {
            let needy = wanted.extract_if(.., |(entry, _)| entry.about.needs_cluster);
            unasked.extend(needy.map(|(entry, _)| entry.about.name));
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
        exceptions.retain(|exception| wanted.iter().any(|(entry, _)| entry.about.name == exception.policy));
        let configure = |(entry, settings): &(&'static Entry, String)| {
            anyhow::Ok(Configured { about: entry.about, policy: (entry.configure)(settings)? })
        };
        let policies = wanted.iter().map(configure).collect::<Result<_, _>>()?;
        Ok(Config { policies, exceptions: Exceptions::new(exceptions), governs_all: false, unasked })
    }
}

fn decode<'a, T: Deserialize<'a>>(item: Field<'a>, at: Position) -> anyhow::Result<T> {
    let value = item.value()?.copied().unwrap_or(Value::Null);
    T::deserialize(value).map_err(|error| anyhow::anyhow!("{at}: {error}"))
}
