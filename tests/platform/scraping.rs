//! Prometheus discovers each expected target once, and the scraped metrics have the expected values.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use conformance::platform::apply::{until_applied, until_ready};
use conformance::platform::control::NODES;
use conformance::platform::objects::{self, text};
use conformance::platform::prometheus::PrometheusClient;
use conformance::process::pratique;
use metric_path::MetricPath;
use policy_core::{Arena, Policy as _, WatchedKind, policy};
use serde_json::{Value, json};
use webhook_server::args::Selection;
use webhook_server::commands::check;
use webhook_server::config::Config;
use webhook_server::sources::Source;

use crate::fixture::PlatformFixture;

const PATIENCE: Duration = Duration::from_secs(300);

/// The number of targets by job, by the workload's kind, namespace and name, and by port.
pub(crate) type Targets = BTreeMap<(String, String, String, String, u16), usize>;

impl PlatformFixture {
    /// The targets that the manifests define, computed by the `metric-path` policy and the number of replicas of each workload.
    pub(crate) async fn promised(&self) -> anyhow::Result<Targets> {
        let file = conformance::root().join("manifests/policies.yaml");
        let config = Config::load(&Selection { config: Some(file), ..Selection::default() }, true)?;
        let listed =
            config.listed.iter().find(|listed| listed.entry.metadata.name == MetricPath::METADATA.name);
        let settings =
            policy::configure::<MetricPath>(listed.map(|l| l.settings.as_str()).unwrap_or_default())?;
        let objects: Vec<&Value> = self.platform.environment.objects().collect();
        let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let sources = [Source::new("production", text)];
        let arena = Arena::new();
        let reads: Vec<WatchedKind> = MetricPath::METADATA.reads.to_vec();
        let cluster = check::cluster(&sources, &reads, &config, "default", &arena);
        let mut promised = Targets::new();
        for target in metric_path::targets(&settings, &cluster, &arena)? {
            let replicas = self.replicas(&target.kind, &target.namespace, &target.name)?;
            let key = (target.job, target.kind, target.namespace, target.name, target.number);
            *promised.entry(key).or_default() += replicas;
        }
        Ok(promised)
    }

    /// The number of pods of a workload in the manifests: its replicas, the minimum of its autoscaler, or one per node.
    fn replicas(&self, kind: &str, namespace: &str, name: &str) -> anyhow::Result<usize> {
        let environment = &self.platform.environment;
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        Ok(match kind {
            "DaemonSet" => NODES,
            // The pods of Envoy, which its chart creates.
            "Pods of" => 1,
            _ => match environment.object("HorizontalPodAutoscaler", namespace, name) {
                Ok(scaler) => number(&scaler["spec"]["minReplicas"]).unwrap_or(1),
                Err(_) => {
                    number(&environment.object(kind, namespace, name)?["spec"]["replicas"]).unwrap_or(1)
                }
            },
        })
    }

    /// The targets in Prometheus, by the workload of the pod at the target's address, and the targets that are not up.
    pub(crate) async fn discovered(&self) -> anyhow::Result<(Targets, Vec<String>)> {
        let (pods, _) = self.platform.kubelet.seen();
        let mut discovered = Targets::new();
        let mut not_up = Vec::new();
        for target in PrometheusClient(&self.platform.kubelet).targets().await? {
            let (ip, port) = target.address.split_once(':').unwrap_or_default();
            let pod = pods.iter().find(|pod| text(pod, "/status/podIP") == ip);
            let (kind, namespace, name) = pod.map(workload).unwrap_or_default();
            if target.health != "up" {
                not_up.push(format!("{} {} is {}", target.pool, target.address, target.health));
            }
            *discovered.entry((target.pool, kind, namespace, name, port.parse()?)).or_default() += 1;
        }
        Ok((discovered, not_up))
    }

    /// Waits until the discovered targets are the expected ones and all are up.
    pub(crate) async fn until_as_promised(&self) -> anyhow::Result<()> {
        self.until_discovered(true).await
    }

    /// Waits until the discovered targets are the expected ones, and also up if `is_up` is set.
    pub(crate) async fn until_discovered(&self, is_up: bool) -> anyhow::Result<()> {
        let promised = self.promised().await?;
        let since = Instant::now();
        loop {
            let found = self.discovered().await;
            let problem = match &found {
                Ok((discovered, not_up)) if *discovered == promised && (!is_up || not_up.is_empty()) => {
                    return Ok(());
                }
                Ok((discovered, not_up)) => {
                    let missing: Vec<_> =
                        promised.iter().filter(|one| discovered.get(one.0) != Some(one.1)).collect();
                    let beside: Vec<_> =
                        discovered.iter().filter(|one| promised.get(one.0) != Some(one.1)).collect();
                    format!("expected, but missing: {missing:?}\nunexpected: {beside:?}\nnot up: {not_up:?}")
                }
                Err(error) => format!("{error:#}"),
            };
            ensure!(since.elapsed() < PATIENCE, "{problem}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    pub(crate) async fn every_target_is_discovered_once(&mut self) -> anyhow::Result<()> {
        self.until_as_promised().await
    }

    /// MariaDB, NGINX and Redis with their real exporters, and the arguments of the stored pods.
    pub(crate) async fn real_exporters_see_real_servers(&mut self) -> anyhow::Result<()> {
        let api = &self.platform.api;
        let objects = redis();
        until_applied(api, &objects).await?;
        until_ready(api, "/apis/apps/v1/namespaces/shop/deployments/redis").await?;
        let pods = api
            .get("/api/v1/namespaces/shop/pods?labelSelector=app.kubernetes.io/name=redis")
            .await?
            .well()?;
        let added = &pods["items"][0]["spec"]["initContainers"][0];
        ensure!(
            added["name"] == "redis-exporter",
            "the exporter was not added: {}",
            pods["items"][0]["spec"]
        );
        let client = PrometheusClient(&self.platform.kubelet);
        for up in ["mysql_up", "nginx_up", "redis_up"] {
            client.until(up, PATIENCE, |value| value == 1.0).await?;
        }
        ensure!(client.query("count(mysql_up)").await?[0].1 == 3.0, "there should be one series per member");
        for object in objects.iter().rev() {
            api.delete(&conformance::control_plane::kinds::path(object)?).await?.well()?;
        }
        Ok(())
    }

    /// Each recorded series has a value, and `explain-metric` succeeds.
    pub(crate) async fn every_recorded_series_has_a_value(&mut self) -> anyhow::Result<()> {
        let client = PrometheusClient(&self.platform.kubelet);
        let rule = self.platform.environment.object("PrometheusRule", "monitoring", "autoscaling")?;
        let rules = rule["spec"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        ensure!(rules.len() == 4, "{} rules", rules.len());
        for record in rules {
            client.until(text(&record, "/record"), PATIENCE, f64::is_finite).await?;
        }
        let file = conformance::root().join("manifests/clusters/production");
        let output = pratique().args(["explain-metric", "process_cpu_usage"]).arg(file).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }
}

/// The kind, namespace and name of the workload that owns a pod.
fn workload(pod: &Value) -> (String, String, String) {
    let namespace = text(pod, "/metadata/namespace").to_owned();
    if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "envoy" {
        return ("Pods of".to_owned(), namespace, "gateway/public".to_owned());
    }
    let (kind, name) = objects::workload(pod);
    (kind.to_owned(), namespace, name.to_owned())
}

/// A Redis cache in the shop's namespace, as a team would add it. Admission adds its exporter.
fn redis() -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/name": "redis"});
    let restricted = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "redis", "namespace": "shop"},
            "stringData": {"password": "Vq7-correct"}}),
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
            "metadata": {"name": "redis", "namespace": "shop", "labels": {"release": "kube-prometheus-stack"}},
            "spec": {"selector": {"matchLabels": labels}, "podMetricsEndpoints": [{"portNumber": 9121, "interval": "5s"}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "redis", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels, "annotations": {
                    "pratique.dev/inject-exporter": "redis", "pratique.dev/exporter-secret": "redis/password"}},
                "spec": {"automountServiceAccountToken": false,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{"name": "redis", "image": "docker.io/library/redis:8.2.1",
                        "args": ["--requirepass", "$(PASSWORD)"],
                        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}],
                        "securityContext": restricted, "ports": [{"name": "redis", "containerPort": 6379}]}]}}}}),
    ]
}
