//! Every object of the environments, held against the schemas of the API server itself.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use conformance::plane::Api;
use conformance::root;
use conformance::serving::until;
use policy_core::{Arena, Field, Request};
use serde_json::{Value, json};
use webhook_server::input::Place;

/// What the API server itself changes with time: nobody could apply it.
const CRDS: &str = "CustomResourceDefinition";

/// Applies every object, with strict field validation and nothing kept; the CustomResourceDefinitions and Namespaces that they need
/// are kept.
pub(super) async fn applied(api: Api) -> anyhow::Result<()> {
    definitions(&api).await?;
    let mut problems = Vec::new();
    let mut applied = 0;
    for environment in ["production", "staging"] {
        let place = Place::Kustomization(root().join("manifests/clusters").join(environment));
        let objects = conformance::yaml(&place.read()?.text)?;
        let used = objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str());
        let named = objects
            .iter()
            .filter(|o| o["kind"] == "Namespace")
            .filter_map(|o| o["metadata"]["name"].as_str());
        for namespace in used.chain(named) {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            api.apply(&path(&object)?, &object, false).await?.well()?;
        }
        for object in &objects {
            let path = path(object)?;
            let answer = api.apply(&path, object, true).await?;
            match answer.status {
                200 | 201 => applied += 1,
                status => {
                    problems.push(format!("{environment}: {path}: {status}: {}", answer.body["message"]))
                }
            }
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    ensure!(applied > 300, "only {applied} objects are applied");
    Ok(())
}

/// Makes the CustomResourceDefinitions that the manifests need.
pub(crate) async fn definitions(api: &Api) -> anyhow::Result<()> {
    let folder = std::env::var_os("CRDS").map_or_else(|| root().join("../shared/crds"), PathBuf::from);
    let mut made = 0;
    for file in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        for object in conformance::yaml(&std::fs::read_to_string(file?.path())?)? {
            if object["kind"] == CRDS {
                let path = path(&object)?;
                api.apply(&path, &object, false).await?.well().with_context(|| path.clone())?;
                let established = || async {
                    let conditions = api.get(&path).await?.body["status"]["conditions"].clone();
                    Ok(conditions
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|c| c["type"] == "Established" && c["status"] == "True"))
                };
                until("it is established", established).await?;
                made += 1;
            }
        }
    }
    ensure!(made > 20, "only {made} CustomResourceDefinitions are in {}", folder.display());
    Ok(())
}

/// The path of an object in the API.
pub(crate) fn path(object: &Value) -> anyhow::Result<String> {
    let arena = Arena::new();
    let text = object.to_string();
    let value = policy_core::Value::from_json(arena.bytes(text.as_bytes()), &arena)?;
    let request = Request::create(Field::root(value, &arena), "default")?;
    let (kind, resource) = (request.kind, request.resource.name);
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
