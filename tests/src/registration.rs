//! What registers a webhook at an API server, as `pratique policies --webhook-configuration` prints it.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::control_plane::Api;

/// The label of a namespace by whose value a webhook of [`register`] is asked about it.
pub const ASKED: &str = "test.pratique.dev/asked";

/// All that is printed, by this command (`pratique`).
///
/// # Errors
/// Nothing is; what it said.
pub fn rendered(mut pratique: Command, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = pratique.args(["policies", "--webhook-configuration"]).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    crate::yaml(&String::from_utf8(output.stdout)?)
}

/// Has the API server ask one half of what was rendered (`Validating`, `Mutating`) about namespaces whose label says `name`.
///
/// # Errors
/// That half is not there, or is not taken.
pub async fn register(api: &Api, name: &str, half: &str, rendered: &[Value]) -> anyhow::Result<()> {
    let kind = format!("{half}WebhookConfiguration");
    let found = rendered.iter().find(|object| object["kind"] == *kind);
    let mut object = found.with_context(|| format!("no {kind} is rendered"))?.clone();
    object["metadata"]["name"] = json!(name);
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["namespaceSelector"] = json!({"matchLabels": {ASKED: name}});
        // How busy the machine is, is not what is looked at.
        webhook["timeoutSeconds"] = json!(30);
    }
    let plural = format!("{}webhookconfigurations", half.to_lowercase());
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
    api.apply(&path, &object, false).await?.well()?;
    Ok(())
}
