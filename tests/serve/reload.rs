//! Tests of reloading: a changed file is loaded, and the previous configuration stays in use if the file is not valid.

use std::path::PathBuf;

use conformance::serving::{Serving, until};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{api, review, runtime};

/// A configuration file, mounted as Kubernetes does it: through symbolic links, one of which is replaced on an update.
struct MountedFile(PathBuf);

impl MountedFile {
    fn new(name: &str, text: &str) -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("pratique-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mounted = MountedFile(folder);
        mounted.swap(text)?;
        std::os::unix::fs::symlink("..data/policies.yaml", mounted.file())?;
        Ok(mounted)
    }

    fn file(&self) -> PathBuf {
        self.0.join("policies.yaml")
    }

    fn swap(&self, text: &str) -> std::io::Result<()> {
        let version = format!("..{}", std::fs::read_dir(&self.0)?.count());
        std::fs::create_dir(self.0.join(&version))?;
        std::fs::write(self.0.join(&version).join("policies.yaml"), text)?;
        std::os::unix::fs::symlink(&version, self.0.join("..next"))?;
        std::fs::rename(self.0.join("..next"), self.0.join("..data"))
    }
}

impl Drop for MountedFile {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Whether a pod is admitted, and the warnings.
async fn evaluated(webhook: &Serving, host_network: bool) -> anyhow::Result<(bool, Value)> {
    let mut body: Value = serde_json::from_str(&review())?;
    body["request"]["namespace"] = json!("shop");
    body["request"]["object"]["spec"]["hostNetwork"] = json!(host_network);
    let (_, body) = webhook.client().await?.post("/validate", body.to_string().into_bytes()).await?;
    let answer: Value = serde_json::from_slice(&body)?;
    Ok((answer["response"]["allowed"] == true, answer["response"]["warnings"].clone()))
}

fn baseline(mode: &str) -> String {
    format!("policies:\n- name: pod-security-standards\n  mode: {mode}\n  settings: {{level: baseline}}\n")
}

pub(crate) fn policies_are_those_of_the_file() -> Result<(), Failed> {
    let mounted = MountedFile::new("reload", &baseline("enforce"))?;
    let file = mounted.file();
    let file = file.to_str().ok_or("a path is UTF-8")?;
    let webhook =
        Serving::start("reload", &["--config", file, "--drain", "0", "--metrics-listen", "127.0.0.1:0"])?;
    const TAKEN: &str = "pratique_config_last_reload_successful";
    runtime()?.block_on(async {
        assert!(!evaluated(&webhook, true).await?.0);
        mounted.swap(&baseline("warn"))?;
        until("it only warns", || async { Ok(evaluated(&webhook, true).await?.0) }).await?;
        let (_, warnings) = evaluated(&webhook, true).await?;
        assert_eq!(
            warnings[0],
            "pod-security-standards: spec.hostNetwork: must not be true (hostNamespaces)"
        );
        assert_eq!(webhook.metric(TAKEN)?, 1.0);
        for (bad, reason) in [
            (baseline("nonsense"), "unknown variant `nonsense`"),
            ("policies: []\n".to_owned(), "no policy is listed"),
            ("policies: [\n".to_owned(), "policies.yaml: 2:1: "),
            (String::new(), "must be one YAML document, is 0"),
        ] {
            mounted.swap(&bad)?;
            until(reason, || async { Ok(webhook.output()?.contains(reason)) }).await?;
            assert_eq!(webhook.metric(TAKEN)?, 0.0, "{reason}");
            assert!(
                !evaluated(&webhook, true).await?.1.is_null(),
                "{reason}: the previous configuration stays in use"
            );
            assert_eq!(webhook.client().await?.get("/readyz").await?.0, 200);
        }
        mounted.swap(&baseline("enforce"))?;
        until("it enforces again", || async { Ok(!evaluated(&webhook, true).await?.0) }).await?;
        assert_eq!(webhook.metric(TAKEN)?, 1.0);
        anyhow::Ok(())
    })?;
    let output = webhook.output()?;
    assert!(output.contains("configuration not reloaded"), "{output}");
    Ok(())
}

/// A file whose read never returns, as on a mount that hangs, blocks neither requests nor the shutdown.
pub(crate) fn a_hanging_file_blocks_nothing() -> Result<(), Failed> {
    let mounted = MountedFile::new("hangs", &baseline("enforce"))?;
    let file = mounted.file();
    let webhook =
        Serving::start("hangs", &["--config", file.to_str().ok_or("a path is UTF-8")?, "--drain", "0"])?;
    std::fs::remove_file(&file)?;
    let made = std::process::Command::new("mkfifo").arg(&file).status()?;
    assert!(made.success(), "mkfifo");
    runtime()?.block_on(async {
        until("the failure is logged", || async { Ok(webhook.output()?.contains("not a regular file")) })
            .await?;
        assert!(!evaluated(&webhook, true).await?.0);
        anyhow::Ok(())
    })?;
    webhook.terminate()?;
    webhook.end()?;
    Ok(())
}

/// A new policy may read kinds that were not watched before. It runs only after they are listed.
pub(crate) fn new_policies_run_only_once_their_kinds_are_watched() -> Result<(), Failed> {
    let runtime = runtime()?;
    let api = runtime.block_on(api::FakeApiServer::start_on_tls());
    let deny = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    api.put("networkpolicies", deny);
    let mounted = MountedFile::new("reads", &baseline("enforce"))?;
    let (file, kubeconfig) = (mounted.file(), api.kubeconfig());
    let arguments = [
        "--config",
        file.to_str().ok_or("a path is UTF-8")?,
        "--kubeconfig",
        kubeconfig.to_str().ok_or("a path is UTF-8")?,
        "--drain",
        "0",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let webhook = Serving::start("reads", &arguments)?;
    const KNOWN: &str = "pratique_cluster_objects{kind=\"NetworkPolicy\"}";
    runtime.block_on(async {
        until("the webhook is ready", || async { Ok(webhook.client().await?.get("/readyz").await?.0 == 200) }).await?;
        assert!(webhook.metric(KNOWN)?.is_nan(), "no policy reads NetworkPolicies yet");
        // Requests are never denied because of missing data: until NetworkPolicies are listed, only the first policy runs.
        let more = "- name: network-policy-required\n  settings: {dns: false}\n";
        mounted.swap(&(baseline("warn") + more))?;
        until("the new policy runs", || async {
            let (allowed, _) = evaluated(&webhook, false).await?;
            anyhow::ensure!(allowed, "{}", webhook.output()?);
            Ok(webhook.metric(KNOWN)? == 1.0)
        })
        .await?;
        api.delete("networkpolicies", "shop", "deny");
        until("the deletion is noticed", || async { Ok(!evaluated(&webhook, false).await?.0) }).await?;
        // Namespaces opt in with a label; labels were not watched before either.
        let namespace = |labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}});
        api.put("namespaces", namespace(json!({})));
        mounted.swap(&(baseline("enforce") + "  namespaceSelector: {matchLabels: {evaluated: 'true'}}\n"))?;
        until("the namespace is not matched", || async { Ok(evaluated(&webhook, true).await?.0) }).await?;
        api.put("namespaces", namespace(json!({"evaluated": "true"})));
        until("the namespace is matched", || async { Ok(!evaluated(&webhook, true).await?.0) }).await?;
        anyhow::Ok(())
    })?;
    Ok(())
}
