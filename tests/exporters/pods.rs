//! The exporter containers, taken from pods after the policy has changed them.

use anyhow::Context as _;
use conformance::{root, yaml};
use policy_catalog::find;
use policy_core::{AdmissionPhase, Arena, Case, ConfiguredPolicy, Field, NoCluster, Request, Value, admit};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::pods_of;
use serde_json::Value as Json;

/// The exporter container in the pods of a workload in the manifests.
pub(crate) fn of_workload(file: &str) -> anyhow::Result<Json> {
    let text = std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
    let workload = yaml(&text)?.into_iter().next().context("the file contains a workload")?.to_string();
    let arena = Arena::new();
    let object = Field::root(Value::from_json(workload.as_bytes(), &arena)?, &arena);
    let request = pods_of(&Request::create(object, "data")?, WorkloadKinds::BUILT_IN)?
        .context("the workload has a pod template")?
        .request;
    let entry = find("exporter-sidecar").context("the policy is in the catalog")?;
    let policies = [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)("")? }];
    let verdicts = admit(&policies, &request, &NoCluster, AdmissionPhase::Mutating);
    anyhow::ensure!(verdicts.allowed(), "{}", verdicts.message());
    exporter(&serde_json::to_value(verdicts.patched.context("the policy changes the pod")?)?)
}

/// The exporter container in the pod of a case.
pub(crate) fn of_case(name: &str) -> anyhow::Result<Json> {
    let text = std::fs::read_to_string(root().join("policies/exporter-sidecar/cases").join(name))?;
    let arena = Arena::new();
    let case = Case::decode(&text, &arena)?;
    let entry = find("exporter-sidecar").context("the policy is in the catalog")?;
    let patched = case.run(entry, &arena)?.patched.context("the policy changes the pod")?;
    exporter(&serde_json::to_value(patched)?)
}

fn exporter(pod: &Json) -> anyhow::Result<Json> {
    let containers = pod["spec"]["initContainers"].as_array().context("the pod has init containers")?;
    let is_exporter =
        |container: &&Json| container["name"].as_str().is_some_and(|name| name.ends_with("-exporter"));
    Ok(containers.iter().find(is_exporter).context("no exporter container found")?.clone())
}
