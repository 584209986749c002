//! Objects of the maximum size that an API server accepts.

use anyhow::ensure;
use serde_json::json;

use super::{bad, good, runs, serve};
use crate::TrialFixture;
use crate::trials::create;

/// Adds an environment variable of this size. Annotations do not work, because they are limited to 256 KiB in total.
fn padded(mut pod: serde_json::Value, bytes: usize) -> serde_json::Value {
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PAD", "value": "x".repeat(bytes)}]);
    pod
}

pub(super) async fn evaluated(given: TrialFixture) -> anyhow::Result<()> {
    let (api, fault) = (&given.stage.api, "large");
    let _webhook = serve(api, fault, "Validating").await?;
    runs(api, fault).await?;
    // The API server reads up to 3 MiB, and calls webhooks before the limit of the store applies.
    let most = 3 * 1024 * 1024 - 4096;
    let message = create(api, fault, "pods?dryRun=All", &padded(bad(), most)).await?.refused()?;
    ensure!(message.contains("spec.hostNetwork: must not be true"), "{message}");
    create(api, fault, "pods?dryRun=All", &padded(good(), most)).await?.well()?;
    let answer = create(api, fault, "pods?dryRun=All", &padded(good(), most + 8192)).await?;
    ensure!(answer.status == 413, "{}: {}", answer.status, answer.body["message"]);
    // The review of an update contains the object twice: the old and the new one.
    let mut stored = padded(good(), 1_400_000);
    stored["metadata"] = json!({"name": "stored", "labels": {"app": "web"}});
    create(api, fault, "pods", &stored).await?.well()?;
    let patch = json!({"spec": {"containers": [{"name": "web", "image": "other"}]}});
    let path = format!("/api/v1/namespaces/{fault}/pods/stored");
    let changed = api.patch(&path, &patch).await?.well()?;
    ensure!(changed["spec"]["containers"][0]["image"] == "other", "{}", changed["metadata"]);
    // An ephemeral container of about the same size.
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "debug",
        "securityContext": {"privileged": true}, "env": [{"name": "PAD", "value": "x".repeat(1_000_000)}]}]}});
    let message = api.patch(&format!("{path}/ephemeralcontainers?dryRun=All"), &debug).await?.refused()?;
    ensure!(message.contains("privileged"), "{message}");
    Ok(())
}
