//! CustomResourceDefinitions for the API server, and the API path of an object.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use policy_core::{Arena, Field};
use serde_json::Value;

use super::Api;
use crate::serving::until;

/// The path of an object in the API.
///
/// # Errors
/// The value is not a Kubernetes object.
pub fn path(object: &Value) -> anyhow::Result<String> {
    let arena = Arena::new();
    let text = object.to_string();
    let value = policy_core::Value::from_json(arena.bytes(text.as_bytes()), &arena)?;
    let request = policy_core::Request::create(Field::root(value, &arena), "default")?;
    let (kind, resource) = (request.kind, request.resource.resource);
    let group = match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let namespace = match request.namespace {
        "" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    Ok(format!("{group}{namespace}/{resource}/{}", request.name))
}

/// The folder with the CustomResourceDefinitions that the manifests need.
///
/// # Errors
/// The folder does not exist; the error says what to do.
pub fn crds() -> Result<PathBuf, String> {
    let folder = std::env::var_os("CRDS").map_or_else(|| crate::root().join("../shared/crds"), PathBuf::from);
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(format!(
            "no CustomResourceDefinitions in {}: set CRDS to a folder that has them",
            folder.display()
        )),
    }
}

/// Creates the CustomResourceDefinitions of `../shared/crds` (or of the folder in CRDS), and those of `further` that
/// are not among them, and waits until the API server serves them.
///
/// # Errors
/// The API server rejects a definition.
pub async fn define(api: &Api, further: Vec<Value>) -> anyhow::Result<()> {
    let folder = crds().map_err(anyhow::Error::msg)?;
    let mut kinds: Vec<Value> = Vec::new();
    for file in std::fs::read_dir(&folder)? {
        let objects = crate::yaml(&std::fs::read_to_string(file?.path())?)?;
        kinds.extend(objects.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition"));
    }
    ensure!(kinds.len() > 20, "only {} CustomResourceDefinitions are in {}", kinds.len(), folder.display());
    for kind in further {
        if kinds.iter().all(|known| known["metadata"]["name"] != kind["metadata"]["name"]) {
            kinds.push(kind);
        }
    }
    for kind in &kinds {
        let at = path(kind)?;
        api.apply(&at, kind, false).await?.well().with_context(|| at.clone())?;
    }
    for kind in &kinds {
        let at = path(kind)?;
        until("a kind is established", || async {
            let conditions = api.get(&at).await?.body["status"]["conditions"].clone();
            let is_so = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            Ok(conditions.as_array().is_some_and(|all| all.iter().any(is_so)))
        })
        .await?;
    }
    Ok(())
}
