//! The API server is killed, stays away until the webhook's cluster data is stale, and comes back.

use std::time::Duration;

use anyhow::ensure;
use conformance::control_plane::{Api, ControlPlane};
use conformance::serving::{Serving, until};
use serde_json::{Value, json};

use crate::TrialFixture;
use crate::trials::{create, namespace, network_policy, pod};

const FAULT: &str = "gone";
const AGE: &str = "pratique_cluster_age_seconds{kind=\"NetworkPolicy\"}";

/// Returns the denial message of a pod; `None` if it is admitted.
async fn evaluated(webhook: &Serving) -> anyhow::Result<Option<String>> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": "CREATE", "namespace": FAULT, "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "userInfo": {"username": "test"},
        "object": pod("web", json!({}))}});
    let (status, body) = webhook.client().await?.post("/validate", review.to_string().into_bytes()).await?;
    ensure!(status == 200, "{status}");
    let answer: Value = serde_json::from_slice(&body)?;
    let message = answer["response"]["status"]["message"].as_str().unwrap_or_default().to_owned();
    Ok((answer["response"]["allowed"] != true).then_some(message))
}

async fn deny(api: &Api) -> anyhow::Result<()> {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    create(api, FAULT, "networkpolicies", &network_policy("deny", spec)).await?.well()?;
    Ok(())
}

pub(super) async fn and_back(given: TrialFixture) -> anyhow::Result<()> {
    let mut plane = ControlPlane::without_controllers(&given.assets).await?;
    namespace(&plane.api, FAULT, json!({})).await?;
    deny(&plane.api).await?;
    let kubeconfig = plane.api.kubeconfig.display().to_string();
    let webhook = Serving::start(
        FAULT,
        &[
            "--policy=network-policy-required",
            "--set=network-policy-required={\"dns\":false}",
            "--kubeconfig",
            &kubeconfig,
            "--stale-after=6",
            "--metrics-listen=127.0.0.1:0",
            "--drain=0",
        ],
    )?;
    until("the webhook has cluster data", || async { Ok(evaluated(&webhook).await?.is_none()) }).await?;
    plane.stop_server();
    // For a while, the existing cluster data is still used.
    ensure!(evaluated(&webhook).await?.is_none(), "the pod is not admitted with recent cluster data");
    until("the cluster data is stale", || async { Ok(evaluated(&webhook).await?.is_some()) }).await?;
    let message = evaluated(&webhook).await?.unwrap_or_default();
    ensure!(message.contains("could not decide"), "{message}");
    ensure!(webhook.metric(AGE)? >= 6.0, "the age is {}", webhook.metric(AGE)?);
    plane.start_server().await?;
    until("the cluster data is recent again", || async { Ok(evaluated(&webhook).await?.is_none()) }).await?;
    ensure!(webhook.metric(AGE)? < 6.0, "the age is {}", webhook.metric(AGE)?);
    // The webhook must also receive later changes.
    plane
        .api
        .delete(&format!("/apis/networking.k8s.io/v1/namespaces/{FAULT}/networkpolicies/deny"))
        .await?
        .well()?;
    until("the webhook has seen the deletion", || async { Ok(evaluated(&webhook).await?.is_some()) }).await?;
    let message = evaluated(&webhook).await?.unwrap_or_default();
    ensure!(!message.contains("could not decide"), "{message}");
    deny(&plane.api).await?;
    until("the webhook has seen the new policy", || async { Ok(evaluated(&webhook).await?.is_none()) })
        .await?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    // The data must not become stale when nothing changes.
    ensure!(evaluated(&webhook).await?.is_none(), "the cluster data became stale in a quiet cluster");
    Ok(())
}
