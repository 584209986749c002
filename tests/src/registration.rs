//! Registers a webhook at an API server with the output of `pratique policies --webhook-configuration`.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::control_plane::Api;

/// The namespace label that selects the webhook of [`register`] by its value.
pub const WEBHOOK_LABEL: &str = "test.pratique.dev/webhook";

/// Returns all objects that this `pratique` command prints.
///
/// # Errors
/// The command fails; the error contains its standard error.
pub fn rendered(mut pratique: Command, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = pratique.args(["policies", "--webhook-configuration"]).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    crate::yaml(&String::from_utf8(output.stdout)?)
}

/// Registers the rendered `Validating` or `Mutating` configuration for the namespaces whose label has the value `name`.
///
/// # Errors
/// The configuration was not rendered, or the API server rejects it.
pub async fn register(api: &Api, name: &str, phase: &str, rendered: &[Value]) -> anyhow::Result<()> {
    let kind = format!("{phase}WebhookConfiguration");
    let found = rendered.iter().find(|object| object["kind"] == *kind);
    let mut object = found.with_context(|| format!("no {kind} is rendered"))?.clone();
    object["metadata"]["name"] = json!(name);
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["namespaceSelector"] = json!({"matchLabels": {WEBHOOK_LABEL: name}});
        // A long timeout, so that a busy machine does not fail the test.
        webhook["timeoutSeconds"] = json!(30);
    }
    let plural = format!("{}webhookconfigurations", phase.to_lowercase());
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
    api.apply(&path, &object, false).await?.well()?;
    Ok(())
}
