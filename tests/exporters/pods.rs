//! The containers that are started: taken from pods as the policy leaves them.

use anyhow::Context as _;
use conformance::{root, yaml};
use policy_catalog::find;
use policy_core::{AdmissionPhase, Arena, Case, ConfiguredPolicy, Field, NoCluster, Request, Value, admit};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::pods_of;
use serde_json::Value as Json;

/// The exporter's container of the pods that a workload in the manifests makes.
pub(crate) fn of_workload(file: &str) -> anyhow::Result<Json> {
    let text = std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
    let workload = yaml(&text)?.into_iter().next().context("it holds a workload")?.to_string();
    let arena = Arena::new();
    let object = Field::root(Value::from_json(workload.as_bytes(), &arena)?, &arena);
    let request = pods_of(&Request::create(object, "data")?, WorkloadKinds::BUILT_IN)?
        .context("it makes pods")?
        .request;
    let entry = find("exporter-sidecar").context("the policy is in the catalog")?;
    let policies = [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)("")? }];
    let verdicts = admit(&policies, &request, &NoCluster, AdmissionPhase::Mutating);
    anyhow::ensure!(verdicts.allowed(), "{}", verdicts.message());
    exporter(&serde_json::to_value(verdicts.patched.context("it is patched")?)?)
}

/// The exporter's container of a case's pod.
pub(crate) fn of_case(name: &str) -> anyhow::Result<Json> {
    let text = std::fs::read_to_string(root().join("policies/exporter-sidecar/cases").join(name))?;
    let arena = Arena::new();
    let case = Case::decode(&text, &arena)?;
    let entry = find("exporter-sidecar").context("the policy is in the catalog")?;
    let patched = case.run(entry, &arena)?.patched.context("it is patched")?;
    exporter(&serde_json::to_value(patched)?)
}

fn exporter(pod: &Json) -> anyhow::Result<Json> {
    let containers = pod["spec"]["initContainers"].as_array().context("it has init containers")?;
    let is_exporter =
        |container: &&Json| container["name"].as_str().is_some_and(|name| name.ends_with("-exporter"));
    Ok(containers.iter().find(is_exporter).context("one is an exporter")?.clone())
}
