//! Workloads and the pods that their controllers make of them.

use crate::field::{Field, Undecided};
use crate::request::{Request, api_version};
use crate::value::Value;

/// Where in an object of that kind the pod is: empty for the object itself, or the way to the template it holds.
pub fn template_of(kind: &str) -> &'static str {
    match kind {
        "PodTemplate" => "template",
        "CronJob" => "spec.jobTemplate.spec.template",
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
            "spec.template"
        }
        _ => "",
    }
}

/// The object itself, or the template it holds; `None` where it may go without.
pub(crate) fn template<'a>(object: Field<'a>, kind: &str) -> Result<Option<Field<'a>>, Undecided> {
    if !object.is_set()? {
        return Err(object.undecided("there is no object in the request"));
    }
    let template = match template_of(kind) {
        "" => object,
        at => object.at(at),
    };
    Ok((kind != "ReplicationController" || template.is_set()?).then_some(template))
}

/// The workload that made the ReplicaSet or the Job of that name: a Deployment, whose ReplicaSets end in the hash of their
/// template, or a CronJob, whose Jobs end in the minute for which they were due.
pub fn workload_behind<'n>(
    kind: &str,
    name: &'n str,
    pod_template_hash: &str,
) -> Option<(&'static str, &'n str)> {
    let (stem, end) = name.rsplit_once('-')?;
    match kind {
        "ReplicaSet" if !end.is_empty() && end == pod_template_hash => Some(("Deployment", stem)),
        "Job" if end.len() >= 8 && end.bytes().all(|byte| byte.is_ascii_digit()) => Some(("CronJob", stem)),
        _ => None,
    }
}

/// What a controller says of a pod, whatever its template does.
const MADE: [&str; 4] = ["name", "generateName", "namespace", "ownerReferences"];

/// The template that makes pods as `pod` is: that of the workload in the request, with what was changed in the pod that
/// [`made_by`] gave. The template as it is and as it would be.
///
/// # Errors
/// Either is not as Kubernetes has it.
pub fn template_making<'a>(
    request: &Request<'a>,
    pod: Field<'a>,
) -> Result<Option<(Value<'a>, Value<'a>)>, Undecided> {
    let Some(template) = template(request.object, request.kind.name)? else { return Ok(None) };
    let arena = request.object.arena();
    let mut metadata: Vec<(&str, Value<'a>)> = Vec::new();
    let (old, new) = (template.at("metadata"), pod.at("metadata"));
    for (key, field) in old.members()? {
        let kept = if MADE.contains(&key) { field } else { new.key(key) };
        metadata.push((key, kept.value()?.copied().unwrap_or(Value::Null)));
    }
    for (key, field) in new.members()? {
        if !MADE.contains(&key) && old.members()?.all(|(known, _)| known != key) {
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

/// The request by which a controller will make a pod of the workload in this one; `None` if it is no workload.
///
/// Fields of that pod stand below [`template_of`] in the workload. It belongs to the workload itself, not to the ReplicaSet
/// or Job that a controller would make in between.
///
/// # Errors
/// The workload has no template.
pub fn made_by<'a>(request: &Request<'a>) -> Result<Option<Request<'a>>, Undecided> {
    let at = template_of(request.kind.name);
    let known = matches!(request.kind.group, "" | "apps" | "batch" | "extensions");
    if at.is_empty() || !known || request.kind.name == "PodTemplate" {
        return Ok(None);
    }
    let arena = request.object.arena();
    let Some(template) = template(request.object, request.kind.name)? else { return Ok(None) };
    let text = |text: &str| Value::String(arena.text(text));
    let api_version = api_version(request.kind.group, request.kind.version);
    let name = request.display_name()?;
    let owner = arena.object(&[
        ("apiVersion", text(&api_version)),
        ("kind", Value::String(request.kind.name)),
        ("name", Value::String(name)),
        ("controller", Value::Bool(true)),
    ]);
    let mut metadata = Vec::new();
    for (key, field) in template.at("metadata").members()? {
        if !MADE.contains(&key) {
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
    Ok(Some(Request::create(Field::root(pod, arena), request.namespace)?))
}
