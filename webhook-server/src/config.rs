//! Which policies are asked, how strictly, with which settings and where, and what is excepted: from the command line, from
//! `policies.yaml`, or all of them.

mod decode;
pub mod exceptions;
mod file;
mod namespaces;
mod schema;
mod selection;
mod shared_settings;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::{ConfiguredPolicy, PolicyDefinition, PolicyMetadata, WatchedKind};
use policy_kubernetes::{PodTemplate, WorkloadKinds};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::Selection;
use crate::sources;
use exceptions::Exceptions;
use selection::FileSelection;

pub use schema::schema;

/// The name of the file that governs the directory it is in, where `check` and `demo` are given none.
const NAME: &str = sources::CONFIGURATION;

/// Which policies are asked, and what is excepted of what they deny.
#[derive(Default)]
pub struct Config {
    /// The policies that are enforced, in the catalog's order.
    pub policies: Vec<ConfiguredPolicy>,
    /// Those that are asked as well, but deny and change nothing, in the same order.
    pub unenforced: Vec<UnenforcedPolicy>,
    /// The exceptions of all these policies.
    pub exceptions: Exceptions,
    /// Whether it was found in the one directory that is judged, so that all that it governs is seen.
    pub governs_all: bool,
    /// The policies that nobody named, and that can decide nothing without a cluster.
    pub unasked: Vec<&'static str>,
    /// How each was asked for, for what is rendered of it.
    pub listed: Vec<ListedPolicy>,
    /// Custom kinds that make pods.
    pub pod_templates: Vec<PodTemplate>,
    /// What of the cluster their namespace selectors need to know.
    namespaces: Option<WatchedKind>,
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
pub struct UnenforcedPolicy {
    /// [`Mode::Warn`] or [`Mode::Audit`].
    pub mode: Mode,
    /// The policy.
    pub configured: ConfiguredPolicy,
}

/// A policy as it was asked for.
#[derive(Clone)]
pub struct ListedPolicy {
    /// The policy.
    pub entry: &'static PolicyDefinition,
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
            Some(path) => FileSelection::from_file(path)?,
            None => FileSelection::all()?,
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
                FileSelection::from_file(file)?.select(selection)?
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
        let wanted = FileSelection::parse(text, path).with_context(|| path.display().to_string())?;
        wanted.select(&Selection::default())
    }

    /// What of it is asked in a cluster: the policies that judge sets of manifests are not.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn serving(mut self) -> anyhow::Result<Self> {
        self.policies.retain(|configured| !configured.metadata.for_manifest_sets());
        self.unenforced.retain(|unenforced| !unenforced.configured.metadata.for_manifest_sets());
        self.listed.retain(|listed| !listed.entry.metadata.for_manifest_sets());
        self.unasked.retain(|name| {
            policy_catalog::find(name).is_none_or(|entry| !entry.metadata.for_manifest_sets())
        });
        if self.listed.is_empty() {
            bail!("every policy that is listed is for `pratique check` alone: nothing is left to ask");
        }
        Ok(self)
    }

    /// The policies that are asked, enforced or not, by name.
    pub fn requested(&self) -> Vec<&'static PolicyMetadata> {
        let unenforced = self.unenforced.iter().map(|unenforced| unenforced.configured.metadata);
        let mut requested: Vec<_> =
            self.policies.iter().map(|policy| policy.metadata).chain(unenforced).collect();
        requested.sort_by_key(|metadata| metadata.name);
        requested
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.requested().into_iter().map(|metadata| metadata.name).collect()
    }

    /// What they look at in the cluster.
    pub fn reads(&self) -> Vec<WatchedKind> {
        let requested = self.requested();
        requested.iter().flat_map(|metadata| metadata.reads).copied().chain(self.namespaces).collect()
    }

    /// Whether any of them is for namespaces that are told by their labels.
    #[cfg(feature = "server")]
    pub(crate) fn needs_labels(&self) -> bool {
        self.namespaces.is_some()
    }

    /// The kinds that make pods.
    pub fn kinds(&self) -> WorkloadKinds<'_> {
        WorkloadKinds::with(&self.pod_templates)
    }

    /// What the prerequisites of their changes are made of, beside what they read themselves.
    pub fn prerequisites(&self) -> Vec<WatchedKind> {
        let entries = self.policies.iter().filter_map(|policy| policy_catalog::find(policy.metadata.name));
        entries.flat_map(|entry| entry.prerequisites).copied().collect()
    }

    /// Whether any of the policies changes objects.
    pub fn mutates(&self) -> bool {
        self.policies.iter().any(|configured| configured.metadata.mutates)
    }
}

/// These policies, enforced, and no exception.
impl From<Vec<ConfiguredPolicy>> for Config {
    fn from(policies: Vec<ConfiguredPolicy>) -> Self {
        Config { policies, ..Config::default() }
    }
}

/// The configuration in a directory, if it has one ([`sources::governing_file`]).
pub fn in_directory(directory: &Path) -> Option<PathBuf> {
    sources::governing_file(directory, NAME)
}

/// The custom kinds that make pods, as the configuration of the one directory that is read has them.
///
/// # Errors
/// The configuration cannot be used.
pub fn pod_templates_for(paths: &[PathBuf]) -> anyhow::Result<Vec<PodTemplate>> {
    let [path] = paths else { return Ok(Vec::new()) };
    match in_directory(path) {
        Some(file) => Ok(FileSelection::from_file(&file)?.shared.pod_templates),
        None => Ok(Vec::new()),
    }
}

/// The policy of that name.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn find(name: &str) -> anyhow::Result<&'static PolicyDefinition> {
    policy_catalog::find(name).with_context(|| {
        let names: Vec<&str> = POLICIES.iter().map(|entry| entry.metadata.name).collect();
        format!("there is no policy `{name}`; there are: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
