//! The pods of a workload, as its controller would request them.

use policy_core::request::api_version;
use policy_core::{Field, FieldPath, Finding, Request, Undecided, Value};

use super::{Controller, WorkloadKinds};
use crate::selector::Labels;

/// The pods that the controller of a workload creates, which are all alike.
#[derive(Debug)]
pub struct WorkloadPods<'a> {
    /// The request that creates one of the pods.
    pub request: Request<'a>,
    /// The path of the pod template in the workload.
    pub template: FieldPath,
}

impl WorkloadPods<'_> {
    /// Converts a finding about the pod to a finding about the workload.
    pub fn in_workload(&self, finding: &Finding) -> Finding {
        Finding { field: finding.field.below(&self.template), ..finding.clone() }
    }
}

/// Metadata that the controller sets in a pod, regardless of the template.
const SET_BY_CONTROLLER: [&str; 4] = ["name", "generateName", "namespace", "ownerReferences"];

/// The pods of the workload in the request; `None` if it creates none.
///
/// Their owner is the workload itself, not the ReplicaSet or Job that a controller would create in between.
///
/// # Errors
/// The workload is not valid.
pub fn pods_of<'a>(
    request: &Request<'a>,
    kinds: WorkloadKinds<'_>,
) -> Result<Option<WorkloadPods<'a>>, Undecided> {
    let Some(row) = kinds.get(request.kind.group, request.kind.kind) else { return Ok(None) };
    if row.controller == Controller::None {
        return Ok(None);
    }
    let arena = request.object.arena();
    let Some(template) = kinds.template(&request.kind, request.object)? else { return Ok(None) };
    let text = |text: &str| Value::String(arena.text(text));
    let api_version = api_version(request.kind.group, request.kind.version);
    let name = request.display_name()?;
    let owner = arena.object(&[
        ("apiVersion", text(&api_version)),
        ("kind", Value::String(request.kind.kind)),
        ("name", Value::String(name)),
        ("controller", Value::Bool(true)),
    ]);
    let mut metadata = Vec::new();
    for (key, field) in template.at("metadata").members()? {
        if !SET_BY_CONTROLLER.contains(&key) {
            metadata.push((key, field.value()?.copied().unwrap_or(Value::Null)));
        }
    }
    metadata.push(("generateName", text(&format!("{name}-"))));
    metadata.push(("namespace", Value::String(request.namespace)));
    metadata.push(("ownerReferences", arena.list(&[owner])));
    let pod = arena.object(&[
        ("apiVersion", Value::String("v1")),
        ("kind", Value::String("Pod")),
        ("metadata", arena.object(&metadata)),
        ("spec", template.at("spec").value()?.copied().unwrap_or(Value::Null)),
    ]);
    let made = Request::create(Field::root(pod, arena), request.namespace)?;
    Ok(Some(WorkloadPods { request: made, template: template.path() }))
}

/// The pod template of the workload in the request, before and after the changes that a policy made to `pod`. The pod must come
/// from [`pods_of`].
///
/// # Errors
/// The workload or the pod is not valid.
pub fn template_making<'a>(
    request: &Request<'a>,
    pod: Field<'a>,
    kinds: WorkloadKinds<'_>,
) -> Result<Option<(Value<'a>, Value<'a>)>, Undecided> {
    let Some(template) = kinds.template(&request.kind, request.object)? else { return Ok(None) };
    let arena = request.object.arena();
    let mut metadata: Vec<(&str, Value<'a>)> = Vec::new();
    let (old, new) = (template.at("metadata"), pod.at("metadata"));
    for (key, field) in old.members()? {
        let kept = if SET_BY_CONTROLLER.contains(&key) { field } else { new.key(key) };
        metadata.push((key, kept.value()?.copied().unwrap_or(Value::Null)));
    }
    for (key, field) in new.members()? {
        if !SET_BY_CONTROLLER.contains(&key) && old.members()?.all(|(known, _)| known != key) {
            metadata.push((key, field.value()?.copied().unwrap_or(Value::Null)));
        }
    }
    let mut members: Vec<(&str, Value<'a>)> = Vec::new();
    for (key, field) in template.members()? {
        let value = match key {
            "metadata" => arena.object(&metadata),
            "spec" => pod.at("spec").value()?.copied().unwrap_or(Value::Null),
            _ => field.value()?.copied().unwrap_or(Value::Null),
        };
        members.push((key, value));
    }
    if !metadata.is_empty() && !members.iter().any(|(key, _)| *key == "metadata") {
        members.push(("metadata", arena.object(&metadata)));
    }
    let before = template.value()?.copied().unwrap_or(Value::Null);
    Ok(Some((before, arena.object(&members))))
}

/// Labels that controllers add to pods with values that the template does not contain.
pub const LABELS_OF_EACH_POD: [&str; 5] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "controller-revision-hash",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// The labels of the pods of a workload: the labels of its template (`metadata.labels`), and those that its controller adds to
/// all pods.
///
/// # Errors
/// The labels of the template are not valid.
pub fn labels_of_pods<'a>(kind: &str, name: &'a str, template: Field<'a>) -> Result<Labels<'a>, Undecided> {
    let mut labels = Labels::of(template)?;
    if kind == "Job" {
        // batch/v1, `JobNameLabel` and its predecessor.
        labels.add("batch.kubernetes.io/job-name", name);
        labels.add("job-name", name);
    }
    Ok(labels)
}
