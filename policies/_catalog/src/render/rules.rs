//! What follows from scopes for whoever asks: the rules of webhooks, and the kinds that are looked at.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::request::api_version;
use policy_core::scope::Resource;
use policy_core::{About, Entry, Operation, Read, Scope};
use serde_json::Value;

use super::json;

/// The rules of a scope as YAML, a rule for each resource, each line after `indent`.
pub(super) fn scope_rules(scope: &Scope, indent: &str) -> String {
    let rule = |resource: &Resource| {
        let rule = Rule {
            group: resource.group,
            version: resource.version,
            resources: resource.rule_names(),
            operations: operations(resource),
        };
        rule.yaml(indent)
    };
    scope.resources.iter().map(rule).collect()
}

/// A rule of a webhook (admissionregistration.k8s.io/v1 RuleWithOperations).
struct Rule {
    group: &'static str,
    version: &'static str,
    resources: Vec<String>,
    operations: Vec<&'static str>,
}

impl Rule {
    fn yaml(&self, indent: &str) -> String {
        format!(
            "{indent}- apiGroups: [\"{}\"]\n{indent}  apiVersions: [\"{}\"]\n{indent}  resources: {}\n{indent}  \
             operations: {}\n",
            self.group,
            self.version,
            json(&self.resources),
            json(&self.operations)
        )
    }
}

/// The rules of one webhook that asks all these policies: as few as there are groups, versions and sets of operations; empty where
/// there is nothing to ask. What `others` ask in any case is left out. Each line after `indent`.
pub fn webhook_rules(entries: &[Entry], others: &[Entry], indent: &str) -> String {
    let others = operations_of(others);
    let mut rules: BTreeMap<(&str, &str, Vec<&str>), Vec<String>> = BTreeMap::new();
    for ((group, version, name), mut operations) in operations_of(entries) {
        if let Some(others) = others.get(&(group, version, name.clone())) {
            operations.retain(|operation| !others.contains(operation));
        }
        if operations.is_empty() {
            continue;
        }
        let operations = operations.into_iter().map(Operation::as_str).collect();
        rules.entry((group, version, operations)).or_default().push(name);
    }
    let rule = |((group, version, operations), resources)| Rule { group, version, resources, operations };
    rules.into_iter().map(|entry| rule(entry).yaml(indent)).collect()
}

type Operations = BTreeMap<(&'static str, &'static str, String), BTreeSet<Operation>>;

/// What these policies look at: of each group, version and resource, which operations.
fn operations_of(entries: &[Entry]) -> Operations {
    let mut all = Operations::new();
    for Entry { about: About { scope, .. }, .. } in entries {
        for resource in scope.resources {
            for name in resource.rule_names() {
                all.entry((resource.group, resource.version, name)).or_default().extend(resource.operations);
            }
        }
    }
    all
}

/// A kind that is looked at, as Kubewarden names it.
pub(super) fn read(read: &Read) -> Value {
    serde_json::json!({"apiVersion": api_version(read.group, read.version), "kind": read.kind})
}

pub(super) fn operations(resource: &Resource) -> Vec<&'static str> {
    resource.operations.iter().copied().map(Operation::as_str).collect()
}
