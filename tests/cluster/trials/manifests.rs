//! Validates every object of the environments against the schemas of the API server.

use anyhow::ensure;
use conformance::control_plane::Api;
use conformance::control_plane::kinds::{define, path};
use conformance::root;
use serde_json::json;
use webhook_server::sources::Input;

/// Applies every object with strict field validation as a dry run. Only the required CustomResourceDefinitions and
/// namespaces are stored.
pub(super) async fn applied(api: Api) -> anyhow::Result<()> {
    define(&api, Vec::new()).await?;
    let mut problems = Vec::new();
    let mut applied = 0;
    for environment in ["production", "staging"] {
        let place = Input::Kustomization(root().join("manifests/clusters").join(environment));
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
    ensure!(applied > 300, "only {applied} objects were applied");
    Ok(())
}
