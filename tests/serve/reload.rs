//! Are the policies those of the file, whenever it changes, and those that were where it cannot be used?

use std::path::PathBuf;

use conformance::serving::{Serving, until};
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{api, review, runtime};

/// A file of policies that is there as Kubernetes mounts it: through links, of which one is swapped.
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

/// Whether a pod on the host's network is admitted, and what is warned of.
async fn evaluated(webhook: &Serving, host_network: bool) -> anyhow::Result<(bool, Value)> {
    let mut requested: Value = serde_json::from_str(&review())?;
    requested["request"]["namespace"] = json!("shop");
    requested["request"]["object"]["spec"]["hostNetwork"] = json!(host_network);
    let (_, body) = webhook.client().await?.post("/validate", requested.to_string().into_bytes()).await?;
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
            assert!(!evaluated(&webhook, true).await?.1.is_null(), "{reason}: what was asked is asked still");
            assert_eq!(webhook.client().await?.get("/readyz").await?.0, 200);
        }
        mounted.swap(&baseline("enforce"))?;
        until("it enforces again", || async { Ok(!evaluated(&webhook, true).await?.0) }).await?;
        assert_eq!(webhook.metric(TAKEN)?, 1.0);
        anyhow::Ok(())
    })?;
    let output = webhook.output()?;
    assert!(output.contains("the policies stay as they were"), "{output}");
    Ok(())
}

/// A file that is not read to its end, as on a mount that hangs, stops nothing, and is not waited for.
pub(crate) fn a_file_that_hangs_stops_nothing() -> Result<(), Failed> {
    let mounted = MountedFile::new("hangs", &baseline("enforce"))?;
    let file = mounted.file();
    let webhook =
        Serving::start("hangs", &["--config", file.to_str().ok_or("a path is UTF-8")?, "--drain", "0"])?;
    std::fs::remove_file(&file)?;
    let made = std::process::Command::new("mkfifo").arg(&file).status()?;
    assert!(made.success(), "mkfifo");
    runtime()?.block_on(async {
        until("it is told", || async { Ok(webhook.output()?.contains("is no file")) }).await?;
        assert!(!evaluated(&webhook, true).await?.0);
        anyhow::Ok(())
    })?;
    webhook.terminate()?;
    webhook.end()?;
    Ok(())
}

/// A policy that is new may look at what nobody looked at before: it is asked once that is known, and not before.
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
        until("it is ready", || async { Ok(webhook.client().await?.get("/readyz").await?.0 == 200) }).await?;
        assert!(webhook.metric(KNOWN)?.is_nan(), "nobody looks at it");
        // It is never denied for want of knowledge: until the policy is known, the other one is asked alone.
        let more = "- name: network-policy-required\n  settings: {dns: false}\n";
        mounted.swap(&(baseline("warn") + more))?;
        until("it is asked", || async {
            let (allowed, _) = evaluated(&webhook, false).await?;
            anyhow::ensure!(allowed, "{}", webhook.output()?);
            Ok(webhook.metric(KNOWN)? == 1.0)
        })
        .await?;
        api.delete("networkpolicies", "shop", "deny");
        until("it knows", || async { Ok(!evaluated(&webhook, false).await?.0) }).await?;
        // Namespaces opt in by a label, at which nobody looked either.
        let namespace = |labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}});
        api.put("namespaces", namespace(json!({})));
        mounted.swap(&(baseline("enforce") + "  namespaceSelector: {matchLabels: {evaluated: 'true'}}\n"))?;
        until("it is not judged", || async { Ok(evaluated(&webhook, true).await?.0) }).await?;
        api.put("namespaces", namespace(json!({"judged": "true"})));
        until("it is judged", || async { Ok(!evaluated(&webhook, true).await?.0) }).await?;
        anyhow::Ok(())
    })?;
    Ok(())
}
