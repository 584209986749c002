//! Which policies are evaluated: those of a file or all of them, and what the command line leaves of these.

use anyhow::{Context as _, bail};
use policy_catalog::POLICIES;
use policy_core::{ConfiguredPolicy, Evaluate, PolicyDefinition, WatchedKind};

use super::exceptions::{Exception, Exceptions};
use super::namespaces::NamespaceLimitedPolicy;
use super::shared_settings::SharedSettings;
use super::{Config, ListedPolicy, Mode, UnenforcedPolicy, find};
use crate::args::Selection;

/// What a file says, before the command line adds to it.
pub(super) struct FileSelection {
    pub(super) policies: Vec<SelectedPolicy>,
    pub(super) exceptions: Vec<Exception>,
    /// The settings that several policies share.
    pub(super) shared: SharedSettings,
    /// Whether somebody chose these, or they are all there are.
    pub(super) chosen: bool,
}

/// A policy that was asked for, configured.
pub(super) struct SelectedPolicy {
    pub(super) listed: ListedPolicy,
    policy: Box<dyn Evaluate>,
    /// What its namespace selector needs to know.
    reads: Option<WatchedKind>,
}

impl SelectedPolicy {
    /// # Errors
    /// The namespace selector is not one that an API server would take.
    pub(super) fn new(listed: ListedPolicy, policy: Box<dyn Evaluate>) -> anyhow::Result<Self> {
        let Some(selector) = &listed.namespace_selector else {
            return Ok(SelectedPolicy { listed, policy, reads: None });
        };
        let limited = NamespaceLimitedPolicy::new(policy, selector)?;
        let reads = limited.reads();
        Ok(SelectedPolicy { listed, policy: Box::new(limited), reads })
    }

    /// With default settings.
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

    /// What the command line leaves of it, with the settings that it gives.
    pub(super) fn select(self, selection: &Selection) -> anyhow::Result<Config> {
        let FileSelection { mut policies, mut exceptions, shared, chosen } = self;
        let mut unasked = Vec::new();
        for name in &selection.policies {
            let entry = find(name)?;
            if !policies.iter().any(|selected| selected.name() == entry.metadata.name) {
                bail!("--policy {name}: the config file does not list it");
            }
        }
        if !selection.policies.is_empty() {
            policies.retain(|selected| selection.policies.iter().any(|name| name == selected.name()));
        } else if !chosen {
            let needy = policies.extract_if(.., |selected| selected.listed.entry.metadata.needs_cluster());
            unasked.extend(needy.map(|needy| needy.name()));
        }
        for set in &selection.settings {
            let Some((name, settings)) = set.split_once('=') else {
                bail!("--set {set}: must be NAME={{json}}");
            };
            let entry = find(name).context("--set")?;
            let name = entry.metadata.name;
            let Some(current) = policies.iter_mut().find(|selected| selected.name() == name) else {
                bail!("--set {name}: the policy is not among those that are asked");
            };
            // First alone, so that an error is about what was given.
            (entry.configure)(settings)?;
            let settings = shared.add_to(entry, settings.to_owned())?;
            let policy = (entry.configure)(&settings)?;
            *current = SelectedPolicy::new(ListedPolicy { settings, ..current.listed.clone() }, policy)?;
        }
        if policies.is_empty() {
            bail!("no policy is listed, so that everything would be admitted");
        }
        exceptions.retain(|exception| policies.iter().any(|selected| selected.name() == exception.policy));
        let mut config = Config {
            unasked,
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
