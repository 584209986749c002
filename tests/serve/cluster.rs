//! Tests of the webhook with and without cluster data.

use std::time::{Duration, Instant};

use conformance::process::pratique;
use conformance::serving::Serving;
use libtest_mimic::Failed;
use serde_json::json;
use webhook_server::server::client::Client;

use crate::{api, review, runtime};

/// The response to a review of a pod in the namespace `shop`.
async fn evaluated(client: &mut Client) -> Result<serde_json::Value, Failed> {
    let mut review: serde_json::Value = serde_json::from_str(&review())?;
    review["request"]["namespace"] = json!("shop");
    review["request"]["object"]["spec"]["hostNetwork"] = json!(false);
    let (status, body) = client.post("/validate", review.to_string().into_bytes()).await?;
    assert!(status.is_success(), "{status}");
    Ok(serde_json::from_slice::<serde_json::Value>(&body)?["response"].clone())
}

pub(crate) fn policies_that_need_cluster_data_deny_without_it() -> Result<(), Failed> {
    let webhook = Serving::start("no-cluster", &["--policy", "network-policy-required", "--drain", "0"])?;
    let answer = runtime()?.block_on(async { evaluated(&mut webhook.client().await?).await })?;
    assert_eq!(
        answer["status"]["message"],
        "network-policy-required: could not decide: needs the cluster's NetworkPolicy objects, and no cluster was given"
    );
    let output = pratique()
        .args([
            "serve",
            "--policy",
            "network-policy-required",
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            "/none",
            "--tls-key",
            "/none",
        ])
        .output()?;
    assert_eq!(output.status.code(), Some(2));
    // Without --policy, a policy that needs cluster data is skipped.
    let webhook = Serving::start(
        "no-policy",
        &["--set", "pod-security-standards={\"level\":\"baseline\"}", "--drain", "0"],
    )?;
    let answer = runtime()?.block_on(async { evaluated(&mut webhook.client().await?).await })?;
    assert_eq!(answer["allowed"], true, "{answer}");
    Ok(())
}

pub(crate) fn a_cluster_is_watched_over_tls() -> Result<(), Failed> {
    let runtime = runtime()?;
    let api = runtime.block_on(api::FakeApiServer::start_on_tls());
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    api.put("networkpolicies", policy);
    let kubeconfig = api.kubeconfig();
    let kubeconfig = kubeconfig.to_str().ok_or("a path is UTF-8")?;
    let settings = "network-policy-required={\"dns\":false}";
    let arguments = [
        "--policy",
        "network-policy-required",
        "--set",
        settings,
        "--kubeconfig",
        kubeconfig,
        "--drain",
        "0",
    ];
    let webhook = Serving::start("cluster", &arguments)?;
    runtime.block_on(async {
        let mut client = webhook.client().await?;
        let since = Instant::now();
        while client.get("/readyz").await?.0 != 200 {
            assert!(since.elapsed() < Duration::from_secs(120), "it is never ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(evaluated(&mut client).await?["allowed"], true);
        api.delete("networkpolicies", "shop", "deny");
        while evaluated(&mut client).await?["allowed"] == true {
            assert!(since.elapsed() < Duration::from_secs(120), "the deletion is never noticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Failed>(())
    })?;
    Ok(())
}

pub(crate) fn an_invalid_kubeconfig_prevents_startup() -> Result<(), Failed> {
    let file = std::env::temp_dir().join(format!("pratique-no-kubeconfig-{}", std::process::id()));
    std::fs::write(&file, "clusters: 7")?;
    for (arguments, reason) in [
        (vec!["--kubeconfig", "/none"], "--kubeconfig /none"),
        (vec!["--kubeconfig", file.to_str().ok_or("a path is UTF-8")?], "--kubeconfig"),
        (vec!["--in-cluster"], "--in-cluster: no service account found"),
        (vec!["--in-cluster", "--stale-after", "1"], "--stale-after"),
    ] {
        let output = pratique().arg("serve").args(["--listen", "127.0.0.1:0"]).args(arguments).output()?;
        assert_eq!(output.status.code(), Some(2));
        let output = String::from_utf8_lossy(&output.stderr);
        assert!(output.contains(reason), "{reason}: {output}");
    }
    std::fs::remove_file(&file)?;
    Ok(())
}
