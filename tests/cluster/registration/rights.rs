//! The rendered RBAC rules give the webhook enough rights, and no more.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use conformance::control_plane::Api;
use conformance::control_plane::kinds::path;
use conformance::process::pratique;
use conformance::registration::{WEBHOOK_LABEL, rendered};
use conformance::serving::{Serving, until};
use serde_json::{Value, json};

use crate::TrialFixture;
use crate::trials::{create, namespace, pod, restricted};

/// Creates the rendered ServiceAccount with its roles. Returns a kubeconfig with its token.
pub(super) async fn account(api: &Api, namespace: &str, rendered: &[Value]) -> anyhow::Result<PathBuf> {
    let is_account =
        |object: &&Value| !object["kind"].as_str().unwrap_or_default().ends_with("Configuration");
    for object in rendered.iter().filter(is_account) {
        let path = path(object)?;
        api.apply(&path, object, false).await?.well().context(path)?;
    }
    let token_request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/webhook/token");
    let given = api.post(&path, &token_request).await?.well()?;
    let token = given["status"]["token"].as_str().context("a token")?;
    api.kubeconfig_of(token, &format!("{namespace}.kubeconfig"))
}

/// With only the rendered rights, the webhook creates its certificate, updates the `caBundle`, and is called.
pub(super) async fn self_managed(given: TrialFixture) -> anyhow::Result<()> {
    let (api, own) = (&given.stage.api, "own");
    namespace(api, own, json!({WEBHOOK_LABEL: own})).await?;
    let listen = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
    let folder = std::env::temp_dir().join(format!("pratique-{}-{own}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("policies.yaml");
    std::fs::write(&config, "policies:\n- name: pod-security-standards\n")?;
    let config = config.display().to_string();
    let url = format!("https://{listen}");
    let mut rendered = rendered(
        pratique(),
        &["--config", &config, "--service", "own/webhook", "--url", &url, "--self-managed"],
    )?;
    let kubeconfig = account(api, own, &rendered).await?;
    for object in rendered.iter_mut().filter(|object| object["kind"] == "ValidatingWebhookConfiguration") {
        // Under the name that the rights cover, but only for this namespace.
        object["webhooks"][0]["namespaceSelector"] = json!({"matchLabels": {WEBHOOK_LABEL: own}});
        api.apply(&path(object)?, object, false).await?.well()?;
    }
    let mut serve = pratique();
    serve.args(["serve", "--config", &config, "--listen", &listen, "--drain", "0"]);
    serve.args(["--tls-service", "own/webhook", "--tls-name", "127.0.0.1", "--kubeconfig"]).arg(kubeconfig);
    let _webhook = Serving::run(serve, folder, webhook_server::server::tls::trusting(&[])?)?;
    let privileged = pod("x", json!({"hostNetwork": true}));
    until("the API server calls and trusts the webhook", || async {
        Ok(create(api, own, "pods?dryRun=All", &privileged).await?.status == 403)
    })
    .await?;
    create(api, own, "pods?dryRun=All", &privileged).await?.refused()?;
    create(api, own, "pods?dryRun=All", &pod("web", restricted())).await?.well()?;
    for (verb, name, allowed) in
        [("get", "webhook-tls", true), ("get", "other", false), ("delete", "webhook-tls", false)]
    {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": format!("system:serviceaccount:{own}:webhook"),
            "resourceAttributes": {"namespace": own, "resource": "secrets", "verb": verb, "name": name}}});
        let answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?.well()?;
        ensure!(answer["status"]["allowed"] == allowed, "{verb} {name}: {answer}");
    }
    Ok(())
}
