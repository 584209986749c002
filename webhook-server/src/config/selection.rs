//! Selects the policies to evaluate: those of a file or all of them, limited and configured by the command line.

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::{ConfiguredPolicy, Evaluate, PolicyDefinition, WatchedKind};

use super::exceptions::{Exception, Exceptions};
use super::namespaces::NamespaceLimitedPolicy;
use super::shared_settings::SharedSettings;
use super::{Config, ListedPolicy, Mode, UnenforcedPolicy, find};
use crate::args::Selection;

/// The content of a file, before the options of the command line are applied.
pub(super) struct FileSelection {
    pub(super) policies: Vec<SelectedPolicy>,
    pub(super) exceptions: Vec<Exception>,
    /// The settings that several policies share.
    pub(super) shared: SharedSettings,
    /// Whether the user selected these policies; if not, they are all policies of the catalog.
    pub(super) chosen: bool,
}

/// A selected policy, configured.
pub(super) struct SelectedPolicy {
    pub(super) listed: ListedPolicy,
    policy: Box<dyn Evaluate>,
    /// The kind that its namespace selector reads.
    reads: Option<WatchedKind>,
}

impl SelectedPolicy {
    /// # Errors
    /// The API server would reject the namespace selector.
    pub(super) fn new(listed: ListedPolicy, policy: Box<dyn Evaluate>) -> anyhow::Result<Self> {
        let Some(selector) = &listed.namespace_selector else {
            return Ok(SelectedPolicy { listed, policy, reads: None });
        };
        let limited = NamespaceLimitedPolicy::new(policy, selector)?;
        let reads = limited.reads();
        Ok(SelectedPolicy { listed, policy: Box::new(limited), reads })
    }

    /// A policy with default settings.
    fn default_of(entry: &'static PolicyDefinition) -> anyhow::Result<Self> {
        let policy = (entry.configure)("")?;
        let listed =
            ListedPolicy { entry, mode: Mode::Enforce, settings: String::new(), namespace_selector: None };
        SelectedPolicy::new(listed, policy)
    }

    pub(super) fn name(&self) -> &'static str {
        self.listed.entry.metadata.name
    }
}

impl FileSelection {
    pub(super) fn all() -> anyhow::Result<Self> {
        let policies = POLICIES.iter().map(SelectedPolicy::default_of).collect::<anyhow::Result<_>>()?;
        Ok(FileSelection {
            policies,
            exceptions: Vec::new(),
            shared: SharedSettings::default(),
            chosen: false,
        })
    }

    /// Applies the selection and the settings of the command line.
    pub(super) fn select(self, selection: &Selection) -> anyhow::Result<Config> {
        let FileSelection { mut policies, mut exceptions, shared, chosen } = self;
        let mut skipped = Vec::new();
        for name in &selection.policies {
            let entry = find(name)?;
            if !policies.iter().any(|selected| selected.name() == entry.metadata.name) {
                bail!("--policy {name}: the config file does not list it");
            }
        }
        if !selection.policies.is_empty() {
            policies.retain(|selected| selection.policies.iter().any(|name| name == selected.name()));
        } else if !chosen {
            let needs_cluster_policies =
                policies.extract_if(.., |selected| selected.listed.entry.metadata.needs_cluster());
            skipped
                .extend(needs_cluster_policies.map(|needs_cluster_policies| needs_cluster_policies.name()));
        }
        for set in &selection.settings {
            let Some((name, settings)) = set.split_once('=') else {
                bail!("--set {set}: must be NAME={{json}}");
            };
            let entry = find(name).context("--set")?;
            let name = entry.metadata.name;
            let Some(current) = policies.iter_mut().find(|selected| selected.name() == name) else {
                bail!("--set {name}: the policy is not selected");
            };
            // Check the given settings alone first, so that errors refer only to them.
            (entry.configure)(settings)?;
            let settings = shared.add_to(entry, settings.to_owned())?;
            let policy = (entry.configure)(&settings)?;
            *current = SelectedPolicy::new(ListedPolicy { settings, ..current.listed.clone() }, policy)?;
        }
        if policies.is_empty() {
            bail!("no policy is listed, so everything would be admitted");
        }
        exceptions.retain(|exception| policies.iter().any(|selected| selected.name() == exception.policy));
        let mut config = Config {
            skipped,
            exceptions: Exceptions::new(exceptions),
            pod_templates: shared.pod_templates,
            ..Config::default()
        };
        policies.into_iter().for_each(|selected| config.add(selected));
        Ok(config)
    }
}

impl Config {
    fn add(&mut self, selected: SelectedPolicy) {
        let SelectedPolicy { listed, policy, reads } = selected;
        let configured = ConfiguredPolicy { metadata: listed.entry.metadata, policy };
        self.namespaces = self.namespaces.or(reads);
        match listed.mode {
            Mode::Enforce => self.policies.push(configured),
            mode => self.unenforced.push(UnenforcedPolicy { mode, configured }),
        }
        self.listed.push(listed);
    }
}
