//! Which policies are asked, how strictly, with which settings and where, and what is excepted: from the command line, from
//! `policies.yaml`, or all of them.

mod namespaces;
mod schema;
mod written;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::{About, Arena, Configured, Entry, Field, Read, Value, yaml};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::Selection;
use crate::exceptions::Exceptions;
use crate::input;
use written::Wanted;

pub use schema::schema;

/// The name of the file that governs the directory it is in, where `check` and `demo` are given none.
const NAME: &str = "policies.yaml";
/// The name of the file that lists intended flows, where `connectivity --intended` is given it.
const INTENDED: &str = "connectivity.yaml";

/// Which policies are asked, and what is excepted of what they deny.
#[derive(Default)]
pub struct Config {
    /// The policies that are enforced, in the catalog's order.
    pub policies: Vec<Configured>,
    /// Those that are asked as well, but deny and change nothing, in the same order.
    pub unenforced: Vec<Unenforced>,
    /// The exceptions of all these policies.
    pub exceptions: Exceptions,
    /// Whether it was found in the one directory that is judged, so that all that it governs is seen.
    pub governs_all: bool,
    /// The policies that nobody named, and that can decide nothing without a cluster.
    pub unasked: Vec<&'static str>,
    /// How each was asked for, for what is rendered of it.
    pub listed: Vec<Listed>,
    /// What of the cluster their namespace selectors need to know.
    namespaces: Option<Read>,
}

/// What follows from a denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The request is refused, and what the policy changes is changed.
    #[default]
    Enforce,
    /// The request is admitted as it is; who asks is warned of what would be denied.
    Warn,
    /// The request is admitted as it is; the audit log, the webhook's log and its metrics are told what would be denied.
    Audit,
}

impl Mode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Warn => "warn",
            Mode::Audit => "audit",
        }
    }
}

/// A policy that is asked, but not enforced.
pub struct Unenforced {
    /// [`Mode::Warn`] or [`Mode::Audit`].
    pub mode: Mode,
    /// The policy.
    pub configured: Configured,
}

/// A policy as it was asked for.
#[derive(Clone)]
pub struct Listed {
    /// The policy.
    pub entry: &'static Entry,
    /// What follows from its denials.
    pub mode: Mode,
    /// Its settings, as JSON; empty for the default.
    pub settings: String,
    /// The LabelSelector of the namespaces that it is asked about, as JSON; `None` for all.
    pub namespace_selector: Option<String>,
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

    /// As [`Config::load`], for files; where none is named, the `policies.yaml` in the directory that is to be judged. What
    /// a cluster would only note in its audit log is warned of: whoever checks files wants to see it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(selection: &Selection, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let found = match paths {
            [path] if selection.config.is_none() => in_directory(path),
            _ => None,
        };
        let mut config = match &found {
            None => Config::load(selection, false)?,
            Some(file) => {
                anstream::eprintln!("pratique: policies and exceptions as {} has them", file.display());
                Wanted::from_file(file)?.select(selection)?
            }
        };
        config.governs_all = found.is_some();
        for unenforced in &mut config.unenforced {
            unenforced.mode = Mode::Warn;
        }
        Ok(config)
    }

    /// The configuration that stands in a text; `path` is how errors name it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let wanted = Wanted::parse(text, path).with_context(|| path.display().to_string())?;
        wanted.select(&Selection::default())
    }

    /// What of it is asked in a cluster: the policies that judge sets of manifests are not.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn serving(mut self) -> anyhow::Result<Self> {
        self.policies.retain(|configured| !configured.about.of_sets);
        self.unenforced.retain(|unenforced| !unenforced.configured.about.of_sets);
        self.listed.retain(|listed| !listed.entry.about.of_sets);
        self.unasked.retain(|name| policy_catalog::find(name).is_none_or(|entry| !entry.about.of_sets));
        if self.listed.is_empty() {
            bail!("every policy that is listed is for `pratique check` alone: nothing is left to ask");
        }
        Ok(self)
    }

    /// The policies that are asked, enforced or not, by name.
    pub fn asked(&self) -> Vec<&'static About> {
        let unenforced = self.unenforced.iter().map(|unenforced| unenforced.configured.about);
        let mut asked: Vec<_> = self.policies.iter().map(|policy| policy.about).chain(unenforced).collect();
        asked.sort_by_key(|about| about.name);
        asked
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.asked().into_iter().map(|about| about.name).collect()
    }

    /// What they look at in the cluster.
    pub fn reads(&self) -> Vec<Read> {
        let asked = self.asked();
        asked.iter().flat_map(|about| about.reads).copied().chain(self.namespaces).collect()
    }

    /// Whether any of them is for namespaces that are told by their labels.
    pub(crate) fn asks_for_labels(&self) -> bool {
        self.namespaces.is_some()
    }

    /// Whether any of the policies changes objects.
    pub fn mutates(&self) -> bool {
        self.policies.iter().any(|configured| configured.about.mutates)
    }
}

/// These policies, enforced, and no exception.
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
        let listed =
            |entry| Listed { entry, mode: Mode::Enforce, settings: String::new(), namespace_selector: None };
        Wanted { policies: POLICIES.iter().map(listed).collect(), exceptions: Vec::new(), chosen: false }
    }

    /// What the command line leaves of it, with the settings that it gives.
    fn select(self, selection: &Selection) -> anyhow::Result<Config> {
        let Wanted { policies: mut wanted, mut exceptions, chosen } = self;
        let mut unasked = Vec::new();
        for name in &selection.policies {
            let entry = find(name)?;
            if !wanted.iter().any(|wanted| wanted.entry.about.name == entry.about.name) {
                bail!("--policy {name}: the config file does not list it");
            }
        }
        if !selection.policies.is_empty() {
            wanted.retain(|wanted| selection.policies.iter().any(|name| name == wanted.entry.about.name));
        } else if !chosen {
            let needy = wanted.extract_if(.., |wanted| wanted.entry.about.needs_cluster);
            unasked.extend(needy.map(|needy| needy.entry.about.name));
        }
        for set in &selection.settings {
            let Some((name, settings)) = set.split_once('=') else {
                bail!("--set {set}: must be NAME={{json}}");
            };
            let name = find(name).context("--set")?.about.name;
            let Some(current) = wanted.iter_mut().find(|wanted| wanted.entry.about.name == name) else {
                bail!("--set {name}: the policy is not among those that are asked");
            };
            settings.clone_into(&mut current.settings);
        }
        if wanted.is_empty() {
            bail!("no policy is listed, so that everything would be admitted");
        }
        exceptions
            .retain(|exception| wanted.iter().any(|wanted| wanted.entry.about.name == exception.policy));
        let mut config = Config { unasked, exceptions: Exceptions::new(exceptions), ..Config::default() };
        for listed in wanted {
            config.add(listed)?;
        }
        Ok(config)
    }
}

impl Config {
    fn add(&mut self, listed: Listed) -> anyhow::Result<()> {
        let about = listed.entry.about;
        let mut policy = (listed.entry.configure)(&listed.settings)?;
        if let Some(selector) = &listed.namespace_selector {
            let limited = namespaces::Limited::new(policy, selector)?;
            self.namespaces = self.namespaces.or(limited.reads());
            policy = Box::new(limited);
        }
        let configured = Configured { about, policy };
        match listed.mode {
            Mode::Enforce => self.policies.push(configured),
            mode => self.unenforced.push(Unenforced { mode, configured }),
        }
        self.listed.push(listed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
