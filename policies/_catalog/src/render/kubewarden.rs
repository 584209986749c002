//! Kubewarden's resources for a policy (policies.kubewarden.io/v1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::json as yaml;
use super::rules::{RegisteredPolicy, watched_kind};

/// How an environment deploys a policy.
#[derive(Clone, Debug, Default)]
pub struct PolicyDeployment {
    /// The policy's settings.
    pub settings: Value,
    /// Whether denied requests are rejected, or only reported.
    pub enforced: bool,
    /// The exempt namespaces.
    pub exempt: BTreeSet<String>,
    /// The LabelSelector of the namespaces to evaluate; `null` for all that are not exempt.
    pub namespace_selector: Value,
    /// The controls that have exceptions, by namespace.
    pub excepted: BTreeMap<String, BTreeSet<String>>,
}

/// Kubewarden's resources for a policy: one ClusterAdmissionPolicy, and an AdmissionPolicy in each namespace that has
/// exceptions. Kubewarden cannot limit an exception to a workload, so its control is exempt for the whole namespace.
///
/// `module` is the address of the Wasm module.
pub fn kubewarden(policy: &RegisteredPolicy, module: &str, deployed: &PolicyDeployment) -> String {
    let metadata = policy.metadata();
    // A policy without controls has nothing to exempt.
    let excepted = deployed.excepted.iter().filter(|_| !metadata.controls.is_empty());
    let exempt: Vec<&String> =
        deployed.exempt.iter().chain(excepted.clone().map(|(namespace, _)| namespace)).collect();
    let mut text = format!(
        "# {}\napiVersion: policies.kubewarden.io/v1\nkind: ClusterAdmissionPolicy\nmetadata:\n  name: {}\n{}",
        metadata.summary,
        metadata.name,
        spec(policy, module, deployed, &deployed.settings)
    );
    text.push_str(&format!(
        "  namespaceSelector:\n    matchExpressions:\n    - key: kubernetes.io/metadata.name\n      \
         operator: NotIn\n      values: {}\n",
        yaml(&exempt)
    ));
    for expression in expressions(&deployed.namespace_selector) {
        text.push_str(&format!("    - {}\n", yaml(&expression)));
    }
    for (namespace, controls) in excepted {
        // The baseline control that an exempt restricted control replaces must be exempt too.
        let twins = metadata.controls.iter().filter(|control| controls.contains(control.id));
        let twins = twins.filter_map(|control| control.replaces.map(str::to_owned));
        let exempt: BTreeSet<String> = twins.chain(controls.iter().cloned()).collect();
        let mut settings = deployed.settings.as_object().cloned().unwrap_or_default();
        if let Some(controls) = settings.entry("exemptControls").or_insert_with(|| json!([])).as_array_mut() {
            let known: BTreeSet<String> =
                controls.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
            controls.extend(exempt.difference(&known).map(|id| json!(id)));
        }
        text.push_str(&format!(
            "---\n# Controls with an exception in this namespace are exempt for all its pods, because Kubewarden cannot select workloads.\n\
             apiVersion: policies.kubewarden.io/v1\nkind: AdmissionPolicy\nmetadata:\n  name: {}\n  \
             namespace: {namespace}\n{}",
            metadata.name,
            spec(policy, module, deployed, &settings.into())
        ));
    }
    text
}

fn spec(policy: &RegisteredPolicy, module: &str, deployed: &PolicyDeployment, settings: &Value) -> String {
    let metadata = policy.metadata();
    let mut text = format!(
        "spec:\n  policyServer: default\n  module: {module}\n  mode: {}\n  mutating: {}\n  \
         failurePolicy: {}\n  timeoutSeconds: 5\n  settings: {}\n  rules:\n{}",
        if deployed.enforced { "protect" } else { "monitor" },
        metadata.mutates,
        if metadata.mutates || !deployed.enforced { "Ignore" } else { "Fail" },
        yaml(settings),
        policy.rules_yaml("  ")
    );
    if !metadata.reads.is_empty() {
        let reads: Vec<Value> = metadata.reads.iter().map(watched_kind).collect();
        text.push_str(&format!("  contextAwareResources: {}\n", yaml(&reads)));
    }
    text
}

/// A LabelSelector as `matchExpressions` only, because Kubewarden's controller drops the `matchLabels` of a selector when it
/// adds its own exemptions.
fn expressions(selector: &Value) -> Vec<Value> {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let of_labels = labels.map(|(key, value)| json!({"key": key, "operator": "In", "values": [value]}));
    let others = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten().cloned();
    of_labels.chain(others).collect()
}
