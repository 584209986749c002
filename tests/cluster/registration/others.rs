//! Another mutating webhook in addition to Pratique.

use anyhow::{Context as _, ensure};
use conformance::serving::{ca_bundle, until};
use serde_json::{Value, json};

use super::{known, registered};
use crate::TrialFixture;
use crate::trials::{create, pod, restricted};

/// Another webhook runs after Pratique and requests an exporter. Pratique runs again and adds the exporter once.
pub(super) async fn reinvocation(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    known(api, "reinvoked", json!({})).await?;
    let other = other_webhook().await?;
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "zz-other"}, "webhooks": [{"name": "other.example.com", "admissionReviewVersions": ["v1"],
            "clientConfig": other, "failurePolicy": "Fail", "sideEffects": "None", "reinvocationPolicy": "IfNeeded",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "reinvoked"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]});
    api.post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", &configuration)
        .await?
        .well()?;
    let mut spec = restricted();
    spec["containers"][0]["image"] = json!("mysql:8.4");
    let database = pod("db", spec);
    until("the other webhook is called", || async {
        let made = create(api, "reinvoked", "pods?dryRun=All", &database).await?.well()?;
        Ok(made["metadata"]["annotations"]["pratique.dev/inject-exporter"] == "auto")
    })
    .await?;
    let made = create(api, "reinvoked", "pods", &database).await?.well()?;
    let names: Vec<&str> = made["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    ensure!(names == ["mysqld-exporter"], "{names:?}: {}", made["metadata"]);
    Ok(())
}

/// Starts a webhook that annotates objects. Returns its client configuration.
async fn other_webhook() -> anyhow::Result<Value> {
    use axum::body::Bytes;
    use axum::{Router, routing::post};
    use base64::Engine as _;
    use webhook_server::server::Server;
    use webhook_server::server::tls::Identity;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let answer = move |body: Bytes| async move {
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let annotations =
            json!({"pratique.dev/inject-exporter": "auto", "pratique.dev/exporter-secret": "db/password"});
        let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
        if review["request"]["object"]["metadata"]["annotations"].is_null() {
            let patch = json!([{"op": "add", "path": "/metadata/annotations", "value": annotations}]);
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(base64(patch.to_string().as_bytes()));
        }
        let answer =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        ([("content-type", "application/json")], answer.to_string())
    };
    let identity = Identity::for_loopback([127, 0, 0, 1].into())?;
    let certificate = identity.chain.first().context("the identity has a certificate")?.clone();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let router = Router::new().route("/mutate", post(answer));
    let server = Server::start(listener, identity.server()?, router)?;
    let url = format!("https://{}/mutate", server.address);
    // It runs until the process ends.
    std::mem::forget(server);
    Ok(json!({"url": url, "caBundle": ca_bundle(&certificate)}))
}
