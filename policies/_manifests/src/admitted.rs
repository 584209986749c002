//! An object after admission: with its namespace and, if it is a workload, with the pod template as its pods will run.

use policy_core::patch::{self, Edit};
use policy_core::{Request, Value};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::{pods_of, template_making};

/// The object of a request after admission. `patched` returns the changed pod, for a pod and for the pods of a workload. If the
/// pods cannot be determined, the object is returned without changes to them; `None` if the request has no object.
pub fn as_admitted<'a>(
    request: &Request<'a>,
    kinds: WorkloadKinds<'_>,
    patched: impl Fn(&Request<'a>) -> Option<Value<'a>>,
) -> Option<Value<'a>> {
    let object = in_namespace(request)?;
    if request.kind.group.is_empty() && request.kind.kind == "Pod" {
        return Some(patched(request).unwrap_or(object));
    }
    Some(with_pods(request, object, kinds, patched).unwrap_or(object))
}

/// The object with the namespace of the request, if it does not set one.
fn in_namespace<'a>(request: &Request<'a>) -> Option<Value<'a>> {
    let object = *request.object.value().ok().flatten()?;
    let namespace = request.object.at("metadata.namespace");
    if request.namespace.is_empty() || namespace.is_set().unwrap_or(true) {
        return Some(object);
    }
    let edit = Edit::Set { path: namespace.path(), value: Value::String(request.namespace).to_string() };
    patch::apply(object, &[edit], request.object.arena()).ok().or(Some(object))
}

fn with_pods<'a>(
    request: &Request<'a>,
    object: Value<'a>,
    kinds: WorkloadKinds<'_>,
    patched: impl Fn(&Request<'a>) -> Option<Value<'a>>,
) -> Option<Value<'a>> {
    let pods = pods_of(request, kinds).ok()??;
    let made = pods.request.with_object(patched(&pods.request)?).object;
    let (_, new) = template_making(request, made, kinds).ok()??;
    let edit = Edit::Set { path: pods.template, value: new.to_string() };
    patch::apply(object, &[edit], request.object.arena()).ok()
}
