//! The configuration: which policies run, with which mode, settings, namespaces and exceptions. It comes from the command
//! line and from `policies.yaml`.

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

/// The name of the configuration file that `check` and `demo` look for in the given directory.
const NAME: &str = sources::CONFIGURATION;

/// The policies that run, and the exceptions to their denials.
#[derive(Default)]
pub struct Config {
    /// The policies that are enforced, in the catalog's order.
    pub policies: Vec<ConfiguredPolicy>,
    /// The policies that are not enforced, so that they deny and change nothing, in the same order.
    pub unenforced: Vec<UnenforcedPolicy>,
    /// The exceptions to all these policies.
    pub exceptions: Exceptions,
    /// Whether the file is in the one directory that is evaluated, so that everything it applies to is evaluated.
    pub is_from_checked_directory: bool,
    /// The policies that are skipped because they need cluster data and are not selected explicitly.
    pub skipped: Vec<&'static str>,
    /// Each policy as it is configured, to render its registration.
    pub listed: Vec<ListedPolicy>,
    /// Custom kinds that create pods.
    pub pod_templates: Vec<PodTemplate>,
    /// The kind that their namespace selectors read from the cluster.
    namespaces: Option<WatchedKind>,
}

/// The effect of a denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The request is denied, and the policy's changes are applied.
    #[default]
    Enforce,
    /// The request is admitted unchanged, and the client gets a warning about each denial.
    Warn,
    /// The request is admitted unchanged. Denials are recorded in the audit log, the webhook's log and its metrics.
    Audit,
}

impl Mode {
    /// The name of the mode in `policies.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Warn => "warn",
            Mode::Audit => "audit",
        }
    }
}

/// A policy that runs but is not enforced.
pub struct UnenforcedPolicy {
    /// [`Mode::Warn`] or [`Mode::Audit`].
    pub mode: Mode,
    /// The policy.
    pub configured: ConfiguredPolicy,
}

/// A policy as it is configured.
#[derive(Clone)]
pub struct ListedPolicy {
    /// The policy.
    pub entry: &'static PolicyDefinition,
    /// The effect of its denials.
    pub mode: Mode,
    /// Its settings, as JSON; empty for the default.
    pub settings: String,
    /// The LabelSelector of the namespaces that it evaluates, as JSON; `None` for all.
    pub namespace_selector: Option<String>,
}

impl Config {
    /// Loads the policies of a file, or all policies, and applies the selection and settings of the command line. Without a
    /// file, policies that need cluster data are skipped unless `knows_cluster` is set.
    ///
    /// # Errors
    /// A file cannot be read, a policy does not exist, or settings are invalid.
    pub fn load(selection: &Selection, knows_cluster: bool) -> anyhow::Result<Self> {
        let mut wanted = match &selection.config {
            Some(path) => FileSelection::from_file(path)?,
            None => FileSelection::all()?,
        };
        wanted.chosen |= knows_cluster;
        wanted.select(selection)
    }

    /// Like [`Config::load`], for manifests. If no file is given, uses the `policies.yaml` in the directory to evaluate.
    /// Policies in mode `audit` warn instead, because a command line has no audit log.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn load_for(selection: &Selection, paths: &[PathBuf]) -> anyhow::Result<Self> {
        let found = match paths {
            [path] if selection.config.is_none() => in_directory(path),
            _ => None,
        };
        let mut config = match &found {
            None => Config::load(selection, false)?,
            Some(file) => {
                print_error!("pratique: using policies and exceptions from {}", file.display());
                FileSelection::from_file(file)?.select(selection)?
            }
        };
        config.is_from_checked_directory = found.is_some();
        for unenforced in &mut config.unenforced {
            unenforced.mode = Mode::Warn;
        }
        Ok(config)
    }

    /// Parses a configuration. Errors use `path` as the name of the file.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let wanted = FileSelection::parse(text, path).with_context(|| path.display().to_string())?;
        wanted.select(&Selection::default())
    }

    /// The policies that run in a cluster: all except those for complete manifest sets.
    ///
    /// # Errors
    /// No policy is left.
    pub fn serving(mut self) -> anyhow::Result<Self> {
        self.policies.retain(|configured| !configured.metadata.for_manifest_sets());
        self.unenforced.retain(|unenforced| !unenforced.configured.metadata.for_manifest_sets());
        self.listed.retain(|listed| !listed.entry.metadata.for_manifest_sets());
        self.skipped.retain(|name| {
            policy_catalog::find(name).is_none_or(|entry| !entry.metadata.for_manifest_sets())
        });
        if self.listed.is_empty() {
            bail!("no policy to serve: all listed policies run only in `pratique check`");
        }
        Ok(self)
    }

    /// All policies that run, enforced or not, sorted by name.
    pub fn requested(&self) -> Vec<&'static PolicyMetadata> {
        let unenforced = self.unenforced.iter().map(|unenforced| unenforced.configured.metadata);
        let mut requested: Vec<_> =
            self.policies.iter().map(|policy| policy.metadata).chain(unenforced).collect();
        requested.sort_by_key(|metadata| metadata.name);
        requested
    }

    /// The names of these policies.
    pub fn names(&self) -> Vec<&'static str> {
        self.requested().into_iter().map(|metadata| metadata.name).collect()
    }

    /// The kinds that these policies read from the cluster.
    pub fn reads(&self) -> Vec<WatchedKind> {
        let requested = self.requested();
        requested.iter().flat_map(|metadata| metadata.reads).copied().chain(self.namespaces).collect()
    }

    /// Whether any policy selects namespaces by their labels.
    #[cfg(feature = "server")]
    pub(crate) fn needs_labels(&self) -> bool {
        self.namespaces.is_some()
    }

    /// The kinds that create pods.
    pub fn kinds(&self) -> WorkloadKinds<'_> {
        WorkloadKinds::with(&self.pod_templates)
    }

    /// The kinds that checks of prerequisites read, in addition to those that the policies read.
    pub fn prerequisites(&self) -> Vec<WatchedKind> {
        let entries = self.policies.iter().filter_map(|policy| policy_catalog::find(policy.metadata.name));
        entries.flat_map(|entry| entry.prerequisites).copied().collect()
    }

    /// Whether any enforced policy changes objects.
    pub fn mutates(&self) -> bool {
        self.policies.iter().any(|configured| configured.metadata.mutates)
    }
}

/// Enforces these policies, without exceptions.
impl From<Vec<ConfiguredPolicy>> for Config {
    fn from(policies: Vec<ConfiguredPolicy>) -> Self {
        Config { policies, ..Config::default() }
    }
}

/// The configuration in a directory, if it has one ([`sources::config_file_in`]).
pub fn in_directory(directory: &Path) -> Option<PathBuf> {
    sources::config_file_in(directory, NAME)
}

/// The custom kinds that create pods, from the configuration in the directory, if `paths` is a single directory.
///
/// # Errors
/// The configuration is invalid.
pub fn pod_templates_for(paths: &[PathBuf]) -> anyhow::Result<Vec<PodTemplate>> {
    let [path] = paths else { return Ok(Vec::new()) };
    match in_directory(path) {
        Some(file) => Ok(FileSelection::from_file(&file)?.shared.pod_templates),
        None => Ok(Vec::new()),
    }
}

/// The policy with this name.
///
/// # Errors
/// The policy does not exist. The message lists all policies.
pub fn find(name: &str) -> anyhow::Result<&'static PolicyDefinition> {
    policy_catalog::find(name).with_context(|| {
        let names: Vec<&str> = POLICIES.iter().map(|entry| entry.metadata.name).collect();
        format!("unknown policy `{name}`; available policies: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
