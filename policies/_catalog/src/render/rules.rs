//! Webhook rules and watched kinds, generated from the scopes of policies.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::request::api_version;
use policy_core::scope::{CHANGES, Resource};
use policy_core::{Operation, PolicyDefinition, PolicyMetadata, Scope, WatchedKind};
use policy_kubernetes::{PodTemplate, scopes};
use serde_json::Value;

use super::json;

/// A policy to register in a cluster.
#[derive(Clone, Debug)]
pub struct RegisteredPolicy {
    /// The policy.
    pub definition: PolicyDefinition,
    /// The custom workload kinds from its settings.
    pub pod_templates: Vec<PodTemplate>,
}

impl From<PolicyDefinition> for RegisteredPolicy {
    fn from(definition: PolicyDefinition) -> Self {
        RegisteredPolicy { definition, pod_templates: Vec::new() }
    }
}

impl RegisteredPolicy {
    /// The metadata of the policy.
    pub fn metadata(&self) -> &'static PolicyMetadata {
        self.definition.metadata
    }

    /// The webhook rules for the scope of the policy.
    fn rules(&self) -> Vec<WebhookRule> {
        let mut rules = scope_rules(&self.metadata().scope);
        if scopes::includes_workloads(&self.metadata().scope) {
            rules.extend(self.pod_templates.iter().filter(|row| row.built_in().is_none()).map(|row| {
                WebhookRule {
                    group: row.group.clone(),
                    version: row.version.clone(),
                    resources: vec![row.resource()],
                    operations: CHANGES.to_vec(),
                }
            }));
        }
        rules
    }

    /// The rules as YAML, one for each resource. Each line starts with `indent`.
    pub(super) fn rules_yaml(&self, indent: &str) -> String {
        self.rules().iter().map(|rule| rule.yaml(indent)).collect()
    }
}

/// A rule of a webhook (admissionregistration.k8s.io/v1 RuleWithOperations).
struct WebhookRule {
    group: String,
    version: String,
    resources: Vec<String>,
    operations: Vec<Operation>,
}

impl WebhookRule {
    fn yaml(&self, indent: &str) -> String {
        let operations: Vec<&str> = self.operations.iter().copied().map(Operation::as_str).collect();
        format!(
            "{indent}- apiGroups: [\"{}\"]\n{indent}  apiVersions: [\"{}\"]\n{indent}  resources: {}\n{indent}  \
             operations: {}\n",
            self.group,
            self.version,
            json(&self.resources),
            json(&operations)
        )
    }
}

fn scope_rules(scope: &Scope) -> Vec<WebhookRule> {
    let rule = |resource: &Resource| WebhookRule {
        group: resource.group.to_owned(),
        version: resource.version.to_owned(),
        resources: resource.rule_names(),
        operations: resource.operations.to_vec(),
    };
    scope.resources.iter().map(rule).collect()
}

/// The rules of one webhook for all these policies, merged by group, version and operations; empty if there is nothing to
/// evaluate. Operations that `others` evaluate anyway are left out. Each line starts with `indent`.
pub fn webhook_rules(policies: &[RegisteredPolicy], others: &[RegisteredPolicy], indent: &str) -> String {
    let others = operations_of(others);
    let mut rules: BTreeMap<(String, String, Vec<Operation>), Vec<String>> = BTreeMap::new();
    for (key, mut operations) in operations_of(policies) {
        if let Some(others) = others.get(&key) {
            operations.retain(|operation| !others.contains(operation));
        }
        let (group, version, resource) = key;
        if !operations.is_empty() {
            let operations = operations.into_iter().collect();
            rules.entry((group, version, operations)).or_default().push(resource);
        }
    }
    let rule =
        |((group, version, operations), resources)| WebhookRule { group, version, resources, operations };
    rules.into_iter().map(|entry| rule(entry).yaml(indent)).collect()
}

/// The operations that these policies evaluate, by group, version and resource.
fn operations_of(policies: &[RegisteredPolicy]) -> BTreeMap<(String, String, String), BTreeSet<Operation>> {
    let mut all: BTreeMap<_, BTreeSet<Operation>> = BTreeMap::new();
    for rule in policies.iter().flat_map(RegisteredPolicy::rules) {
        for resource in rule.resources {
            let key = (rule.group.clone(), rule.version.clone(), resource);
            all.entry(key).or_default().extend(&rule.operations);
        }
    }
    all
}

/// A watched kind in Kubewarden's notation.
pub(super) fn watched_kind(read: &WatchedKind) -> Value {
    serde_json::json!({"apiVersion": api_version(read.group, read.version), "kind": read.kind})
}

pub(super) fn operations(resource: &Resource) -> Vec<&'static str> {
    resource.operations.iter().copied().map(Operation::as_str).collect()
}
