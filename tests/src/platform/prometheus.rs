//! Replaces Prometheus' config reloader, and queries Prometheus.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::http;
use super::kubelet::Kubelet;
use super::objects::text;
use crate::process::run;

/// The configuration that each Prometheus pod loaded last.
#[derive(Default)]
pub(super) struct Reloader(BTreeMap<String, String>);

impl Reloader {
    /// Writes the operator's configuration to the file that Prometheus reads, and reloads Prometheus if the
    /// configuration or a rule has changed.
    pub(super) async fn look(&mut self, pods: &[Value], folder: &Path) {
        let is_prometheus =
            |pod: &&Value| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "prometheus";
        for pod in pods.iter().filter(is_prometheus) {
            let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            let volumes = folder.join(format!("{namespace}_{name}/volumes"));
            if let Ok(text) = written(&volumes, name)
                && self.0.get(name) != Some(&text)
                && let Ok(200) = ask(pod, "POST", "/-/reload").await.map(|(status, _)| status)
            {
                self.0.insert(name.to_owned(), text);
            }
        }
    }
}

/// Writes the configuration, and returns it with the rules.
fn written(volumes: &Path, pod: &str) -> anyhow::Result<String> {
    let packed = volumes.join("config/prometheus.yaml.gz");
    let config = run(std::process::Command::new("gzip").arg("-dc").arg(packed))?;
    let config = config.replace("$(SHARD)", "0").replace("$(POD_NAME)", pod);
    let out = volumes.join("config-out/prometheus.env.yaml");
    if std::fs::read_to_string(&out).ok().as_deref() != Some(config.as_str()) {
        std::fs::write(&out, &config)?;
    }
    let mut all = config;
    for folder in std::fs::read_dir(volumes)?.flatten() {
        if folder.file_name().to_string_lossy().contains("rulefiles") {
            let mut files: Vec<_> =
                std::fs::read_dir(folder.path())?.flatten().map(|file| file.path()).collect();
            files.sort();
            for file in files {
                all.push_str(&std::fs::read_to_string(file)?);
            }
        }
    }
    Ok(all)
}

/// Sends a request to a Prometheus pod. Returns the status and the body.
async fn ask(pod: &Value, method: &str, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    http::ask(&format!("{}:9090", text(pod, "/status/podIP")), method, path, None).await
}

/// A client for Prometheus.
pub struct PrometheusClient<'k>(pub &'k Kubelet);

/// A target that Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActiveTarget {
    /// `serviceMonitor/shop/api/0`.
    pub pool: String,
    /// `10.244.0.7:9090`.
    pub address: String,
    /// `up` or `down`; `unknown` before the first scrape.
    pub health: String,
}

impl PrometheusClient<'_> {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let pod = self
            .0
            .pods("monitoring", "prometheus-")
            .into_iter()
            .find(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "prometheus");
        let (status, body) = ask(&pod.context("no Prometheus pod found")?, "GET", path).await?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(answer["data"].clone())
    }

    /// Evaluates an expression. Returns the values, each with its labels.
    ///
    /// # Errors
    /// Prometheus does not respond.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let data = self.get(&format!("/api/v1/query?query={}", encoded(expression))).await?;
        let one = |item: &Value| {
            let value = item["value"][1].as_str().and_then(|value| value.parse().ok());
            (item["metric"].clone(), value.unwrap_or(f64::NAN))
        };
        Ok(data["result"].as_array().into_iter().flatten().map(one).collect())
    }

    /// The active targets.
    ///
    /// # Errors
    /// Prometheus does not respond.
    pub async fn targets(&self) -> anyhow::Result<Vec<ActiveTarget>> {
        let data = self.get("/api/v1/targets?state=active").await?;
        let one = |item: &Value| {
            let url = text(item, "/scrapeUrl");
            let address = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            ActiveTarget {
                pool: text(item, "/scrapePool").to_owned(),
                address: address.to_owned(),
                health: text(item, "/health").to_owned(),
            }
        };
        let mut targets: Vec<ActiveTarget> =
            data["activeTargets"].as_array().into_iter().flatten().map(one).collect();
        targets.sort();
        Ok(targets)
    }

    /// The pending and firing alerts by name, each with its state.
    ///
    /// # Errors
    /// Prometheus does not respond.
    pub async fn alerts(&self) -> anyhow::Result<Vec<(String, String)>> {
        let data = self.get("/api/v1/alerts").await?;
        let one =
            |item: &Value| (text(item, "/labels/alertname").to_owned(), text(item, "/state").to_owned());
        Ok(data["alerts"].as_array().into_iter().flatten().map(one).collect())
    }

    /// Waits until all values of an expression meet a condition.
    ///
    /// # Errors
    /// They do not in time; the error has the last values.
    pub async fn until(
        &self,
        expression: &str,
        patience: Duration,
        is_so: impl Fn(f64) -> bool,
    ) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let found = self.query(expression).await;
            match &found {
                Ok(values) if !values.is_empty() && values.iter().all(|(_, value)| is_so(*value)) => {
                    return Ok(());
                }
                _ if since.elapsed() > patience => bail!("{expression}: {found:?}"),
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

/// Percent-encodes a query parameter.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
