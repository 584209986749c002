//! Objects as large as an API server takes them.

use anyhow::ensure;
use serde_json::json;

use super::{bad, good, runs, serve};
use crate::TrialFixture;
use crate::trials::create;

/// With a variable of the environment of that many bytes: annotations may have no more than 256 KiB together.
fn padded(mut pod: serde_json::Value, bytes: usize) -> serde_json::Value {
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PAD", "value": "x".repeat(bytes)}]);
    pod
}

pub(super) async fn evaluated(given: TrialFixture) -> anyhow::Result<()> {
    let (api, fault) = (&given.stage.api, "large");
    let _webhook = serve(api, fault, "Validating").await?;
    runs(api, fault).await?;
    // The API server reads 3 MiB, and asks before it looks at what the store takes.
    let most = 3 * 1024 * 1024 - 4096;
    let message = create(api, fault, "pods?dryRun=All", &padded(bad(), most)).await?.refused()?;
    ensure!(message.contains("spec.hostNetwork: must not be true"), "{message}");
    create(api, fault, "pods?dryRun=All", &padded(good(), most)).await?.well()?;
    let answer = create(api, fault, "pods?dryRun=All", &padded(good(), most + 8192)).await?;
    ensure!(answer.status == 413, "{}: {}", answer.status, answer.body["message"]);
    // An update has the object twice: what is stored, and what is to be.
    let mut stored = padded(good(), 1_400_000);
    stored["metadata"] = json!({"name": "stored", "labels": {"app": "web"}});
    create(api, fault, "pods", &stored).await?.well()?;
    let patch = json!({"spec": {"containers": [{"name": "web", "image": "other"}]}});
    let path = format!("/api/v1/namespaces/{fault}/pods/stored");
    let changed = api.patch(&path, &patch).await?.well()?;
    ensure!(changed["spec"]["containers"][0]["image"] == "other", "{}", changed["metadata"]);
    // A debug container that is as large again.
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "debug",
        "securityContext": {"privileged": true}, "env": [{"name": "PAD", "value": "x".repeat(1_000_000)}]}]}});
    let message = api.patch(&format!("{path}/ephemeralcontainers?dryRun=All"), &debug).await?.refused()?;
    ensure!(message.contains("privileged"), "{message}");
    Ok(())
}
