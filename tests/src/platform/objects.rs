//! Reads fields of objects from the API.

use serde_json::Value;

/// Returns the string at a JSON pointer, or an empty string.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The containers that keep running: native sidecars and regular containers.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| pod["spec"][key].as_array().into_iter().flatten();
    list("initContainers")
        .filter(|container| container["restartPolicy"] == "Always")
        .chain(list("containers"))
}

/// The ports that the containers of a pod declare: name and number.
pub fn ports(pod: &Value) -> impl Iterator<Item = (&str, u16)> {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.flat_map(|key| pod["spec"][key].as_array().into_iter().flatten());
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.filter_map(|port| {
        Some((text(port, "/name"), port["containerPort"].as_u64().and_then(|number| number.try_into().ok())?))
    })
}

/// The kind and name of the workload that owns a pod.
pub fn workload(pod: &Value) -> (&str, &str) {
    let owner = &pod["metadata"]["ownerReferences"][0];
    match (text(owner, "/kind"), text(owner, "/name")) {
        ("ReplicaSet", name) => ("Deployment", name.rsplit_once('-').map_or(name, |(name, _)| name)),
        owner => owner,
    }
}
