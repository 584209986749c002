//! Faults in a cluster: admission fails closed, and everything recovers by itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::control_plane::kinds::path;
use conformance::platform::apply::{applied, until_ready};
use conformance::platform::certificates;
use conformance::platform::http;
use conformance::platform::objects::text;
use conformance::platform::prometheus::PrometheusClient;
use conformance::serving::until;
use serde_json::{Value, json};

use crate::autoscaling::condition;
use crate::fixture::PlatformFixture;

const OUTAGE: Duration = Duration::from_secs(30);

impl PlatformFixture {
    /// While the webhook is down, pods are rejected. Afterwards the controllers create the missing pods and replicas
    /// without intervention.
    pub(crate) async fn the_webhook_is_gone(&mut self) -> anyhow::Result<()> {
        const REFUSED: &str = "failed calling webhook";
        let (api, kubelet) = (&self.platform.api, &self.platform.kubelet);
        let web = "/apis/apps/v1/namespaces/shop/deployments/web";
        let sidekick = "/apis/apps/v1/namespaces/falco/deployments/falcosidekick";
        kubelet.stop("pratique", "webhook-");
        let since = Instant::now();
        self.until_refused(REFUSED).await?;
        self.delete_a_pod("shop", "web-").await?;
        api.merge(&format!("{sidekick}/scale"), &json!({"spec": {"replicas": 4}})).await?.well()?;
        while since.elapsed() < OUTAGE {
            let message =
                self.is_admitted().await?.err().context("a pod is admitted while the webhook is down")?;
            ensure!(message.contains(REFUSED), "{message}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let ready = |at: &'static str| async move {
            anyhow::Ok(api.get(at).await?.well()?["status"]["readyReplicas"].as_i64().unwrap_or(0))
        };
        ensure!(ready(sidekick).await? < 4, "a pod was created while the webhook was down");
        kubelet.start("pratique", "webhook-");
        until("the replicas are ready", || async { Ok(ready(sidekick).await? == 4) }).await?;
        until_ready(api, web).await?;
        let written = self.platform.environment.object("Deployment", "falco", "falcosidekick")?;
        let replicas = written["spec"]["replicas"].as_i64().unwrap_or(1);
        api.merge(&format!("{sidekick}/scale"), &json!({"spec": {"replicas": replicas}})).await?.well()?;
        until_ready(api, sidekick).await
    }

    /// Deletes a pod whose name has this prefix.
    pub(crate) async fn delete_a_pod(&self, namespace: &str, prefix: &str) -> anyhow::Result<()> {
        let pods = self.platform.kubelet.pods(namespace, prefix);
        let name = text(pods.first().context("no pod found")?, "/metadata/name");
        self.platform.api.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await?.well()?;
        Ok(())
    }

    /// Tries to create a valid pod; returns the API server's message if it is not admitted.
    async fn is_admitted(&self) -> anyhow::Result<Result<(), String>> {
        let worker = self.platform.environment.object("Deployment", "shop", "worker")?;
        let template = &worker["spec"]["template"];
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "asked", "namespace": "shop", "labels": template["metadata"]["labels"]},
            "spec": template["spec"]});
        let answer = self.platform.api.post("/api/v1/namespaces/shop/pods?dryRun=All", &pod).await?;
        Ok(if answer.status == 201 { Ok(()) } else { Err(answer.body.to_string()) })
    }

    async fn until_refused(&self, reason: &str) -> anyhow::Result<()> {
        until(&format!("a pod is rejected: {reason}"), || async {
            Ok(self.is_admitted().await?.is_err_and(|message| message.contains(reason)))
        })
        .await
    }

    /// An expired certificate makes the API server reject the webhook. A renewed one is used without a restart.
    pub(crate) async fn a_certificate_expires(&mut self) -> anyhow::Result<()> {
        let (api, kubelet) = (&self.platform.api, &self.platform.kubelet);
        let before = kubelet.pids();
        let (secret, holds) = (("pratique", "webhook-tls"), Duration::from_secs(20));
        certificates::shorten(api, secret, "webhook.pratique.svc", holds).await?;
        tokio::time::sleep(Duration::from_secs(8)).await;
        kubelet.cut_connections();
        until("pods are admitted while the certificate is valid", || async {
            Ok(self.is_admitted().await?.is_ok())
        })
        .await?;
        tokio::time::sleep(Duration::from_secs(13)).await;
        // Existing connections stay open, but new ones fail because the certificate has expired.
        kubelet.cut_connections();
        self.until_refused("certificate has expired").await?;
        certificates::renew(api, "pratique", "webhook-tls").await?;
        until("pods are admitted again", || async { Ok(self.is_admitted().await?.is_ok()) }).await?;
        let of_webhook = |pids: Vec<((String, String, String), u32)>| -> Vec<_> {
            pids.into_iter().filter(|((namespace, ..), _)| namespace == "pratique").collect()
        };
        ensure!(of_webhook(before) == of_webhook(kubelet.pids()), "a webhook was restarted");
        Ok(())
    }

    pub(crate) async fn prometheus_is_restarted(&mut self) -> anyhow::Result<()> {
        self.platform.kubelet.restart("monitoring", "prometheus-k8s-");
        until("Prometheus is gone", || async {
            Ok(PrometheusClient(&self.platform.kubelet).targets().await.is_err())
        })
        .await?;
        until("Prometheus answers", || async {
            Ok(PrometheusClient(&self.platform.kubelet).targets().await.is_ok())
        })
        .await?;
        self.until_as_promised().await?;
        self.until_scaler("api", "is active", |scaler| condition(scaler, "ScalingActive").0 == "True")
            .await?;
        Ok(())
    }

    /// Without metrics, the autoscalers keep the current number of replicas.
    pub(crate) async fn the_adapter_is_gone(&mut self) -> anyhow::Result<()> {
        let kubelet = &self.platform.kubelet;
        let desired = |scaler: &Value| scaler["status"]["desiredReplicas"].as_i64();
        let before = desired(&self.scaler("api").await?);
        kubelet.stop("monitoring", "prometheus-adapter");
        let missing = |scaler: &Value| metric_of(scaler, "process_cpu_usage").is_none();
        self.until_scaler("api", "lacks its metrics", missing).await?;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(6) {
            ensure!(
                desired(&self.scaler("api").await?) == before,
                "the desired replicas changed without metrics"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        kubelet.start("monitoring", "prometheus-adapter");
        self.until_scaler("api", "has its metrics", |scaler| {
            metric_of(scaler, "process_cpu_usage").is_some()
        })
        .await?;
        Ok(())
    }

    /// The restarted operator picks up later changes.
    pub(crate) async fn the_operator_is_restarted(&mut self) -> anyhow::Result<()> {
        let (api, environment) = (&self.platform.api, &self.platform.environment);
        let monitor = environment.object("ServiceMonitor", "falco", "falcosidekick")?;
        let jobs = || async {
            let targets = PrometheusClient(&self.platform.kubelet).targets().await?;
            anyhow::Ok(targets.iter().filter(|target| target.pool.contains("/falcosidekick/")).count())
        };
        self.platform.kubelet.restart("monitoring", "kube-prometheus-stack-operator");
        api.delete(&path(monitor)?).await?.well()?;
        until("the targets of the deleted monitor are gone", || async { Ok(jobs().await? == 0) }).await?;
        applied(api, monitor).await?;
        until("the targets of the monitor exist", || async { Ok(jobs().await? > 0) }).await?;
        self.until_discovered(false).await
    }

    /// Removes all revisions but the last. Watches continue or start again.
    pub(crate) async fn etcd_is_compacted(&mut self) -> anyhow::Result<()> {
        let api = &self.platform.api;
        let etcd = async |path: &str, body: Value| -> anyhow::Result<Value> {
            let (status, answer) = http::ask("127.0.0.1:2379", "POST", path, Some(&body)).await?;
            ensure!(status == 200, "etcd: {status}: {}", String::from_utf8_lossy(&answer));
            Ok(serde_json::from_slice(&answer)?)
        };
        let range = etcd("/v3/kv/range", json!({"key": "AA=="})).await?;
        let revision = range["header"]["revision"].as_str().context("a revision")?.to_owned();
        etcd("/v3/kv/compaction", json!({"revision": revision, "physical": true})).await?;
        // The webhook must still receive changes: a namespace with its policies, and then a pod in it.
        let mut objects =
            vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "after"}})];
        for policy in self.platform.environment.objects().filter(|object| {
            object["kind"] == "NetworkPolicy"
                && object["metadata"]["namespace"] == "shop"
                && object["spec"]["podSelector"] == json!({})
        }) {
            let mut policy = policy.clone();
            policy["metadata"]["namespace"] = json!("after");
            objects.push(policy);
        }
        ensure!(
            objects.len() == 3,
            "expected a namespace, a default deny and a DNS policy, found {} objects",
            objects.len()
        );
        let worker = self.platform.environment.object("Deployment", "shop", "worker")?;
        let mut spec = worker["spec"]["template"]["spec"].clone();
        spec["serviceAccountName"] = json!("default");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "after"}, "spec": spec});
        applied(api, &objects[0]).await?;
        let make =
            || async { anyhow::Ok(api.post("/api/v1/namespaces/after/pods?dryRun=All", &pod).await?.status) };
        until("a pod without NetworkPolicies is denied", || async { anyhow::Ok(make().await? == 403) })
            .await?;
        for object in &objects[1..] {
            applied(api, object).await?;
        }
        until("a pod with NetworkPolicies is admitted", || async { anyhow::Ok(make().await? == 201) })
            .await?;
        api.delete("/api/v1/namespaces/after").await?.well()?;
        self.platform.control.is_well()
    }
}

/// The current value of a metric in the autoscaler's status.
pub(crate) fn metric_of<'s>(scaler: &'s Value, name: &str) -> Option<&'s Value> {
    scaler["status"]["currentMetrics"].as_array()?.iter().find(|metric| {
        ["pods", "object"].iter().any(|kind| metric[*kind]["metric"]["name"] == name)
            || (metric["containerResource"]["name"] == name
                && metric["containerResource"]["current"].is_object())
    })
}
