//! The autoscalers scale on each of their metrics, up and down again, within their bounds.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::platform::listeners::shops;
use conformance::platform::load;
use conformance::platform::objects::text;
use conformance::platform::prometheus::PrometheusClient;
use conformance::serving::until;
use serde_json::{Value, json};

use crate::fixture::PlatformFixture;

const PATIENCE: Duration = Duration::from_secs(360);
/// How long a cause may take before a part of the load is added again.
const TOP_UP: Duration = Duration::from_secs(45);
/// How often load is added before the autoscaler is said not to scale.
const ATTEMPTS: u32 = 8;
/// A query that takes one second, ten times the autoscaler's target.
const SLOW: &str = "SELECT SLEEP(1)";

/// The reason why an autoscaler scales.
#[derive(Clone, Copy, Debug)]
enum ScalingCause {
    Memory,
    Cpu,
    Latency,
    Queries,
    ProcessCpu,
    Requests,
}

impl ScalingCause {
    /// The controller's name of the metric.
    fn named(self) -> &'static str {
        match self {
            ScalingCause::Memory => "memory container resource",
            ScalingCause::Cpu => "cpu container resource",
            ScalingCause::Latency => "http_request_duration_p95_seconds",
            ScalingCause::Queries => "database_query_latency_seconds",
            ScalingCause::ProcessCpu => "process_cpu_usage",
            ScalingCause::Requests => "http_requests_per_second",
        }
    }
}

/// The causes of each autoscaler. Those with a lasting effect (rates over two minutes) come last.
const CAUSES: [(&str, &[ScalingCause]); 3] = [
    (
        "api",
        &[
            ScalingCause::Memory,
            ScalingCause::Cpu,
            ScalingCause::Latency,
            ScalingCause::Requests,
            ScalingCause::ProcessCpu,
            ScalingCause::Queries,
        ],
    ),
    ("web", &[ScalingCause::Memory, ScalingCause::Cpu, ScalingCause::Requests]),
    ("worker", &[ScalingCause::Memory, ScalingCause::Cpu, ScalingCause::ProcessCpu]),
];

impl PlatformFixture {
    pub(crate) async fn autoscalers_scale_up_on_every_metric(&mut self) -> anyhow::Result<()> {
        // Alerts also need minutes to fire, and `check` can examine the broken manifests meanwhile.
        self.make_causes()?;
        self.checked = Some(self.check_breakages());
        // The series of the query must exist before it is slow, because a rate needs a second sample.
        self.query("SELECT SLEEP(0)", 1)?;
        // The adapter looks for new series only once a minute, and it was started before they existed.
        self.platform.kubelet.restart("monitoring", "prometheus-adapter-");
        for (name, _) in CAUSES {
            self.until_scaler(name, "is active", |scaler| condition(scaler, "ScalingActive").0 == "True")
                .await?;
        }
        let this = &*self;
        let [api, web, worker] = CAUSES.map(|(name, causes)| this.scale_up(name, causes));
        let (api, web, worker) = tokio::join!(api, web, worker);
        api.and(web).and(worker)
    }

    /// Creates each cause in turn. The autoscaler must report that it scales by this metric, and do so.
    async fn scale_up(&self, name: &str, causes: &[ScalingCause]) -> anyhow::Result<()> {
        let (least, most) = bounds(&self.scaler(name).await?)?;
        for cause in causes {
            let before = desired(&self.scaler(name).await?);
            ensure!(before < most, "{name} is at its maximum before {cause:?}");
            self.make(name, *cause, true).await?;
            let is_so = |scaler: &Value| {
                let (active, message) = condition(scaler, "ScalingActive");
                active == "True" && message.contains(cause.named()) && desired(scaler) > before
            };
            // On a busy machine, scrapes and syncs come late, and a rate that was high for two minutes may be over before it counts.
            let mut attempts = 0;
            let reached = loop {
                if let Some(scaler) = self.within(name, TOP_UP, is_so).await? {
                    break scaler;
                }
                attempts += 1;
                let status = &self.scaler(name).await?["status"];
                ensure!(attempts < ATTEMPTS, "{name} never scales by {}: {status}", cause.named());
                self.raise(name, *cause, 0.25).await?;
            };
            ensure!((least..=most).contains(&desired(&reached)), "{name}: {reached}");
            self.make(name, *cause, false).await?;
            self.platform.progress.step(&format!(
                "{name}: {before} to {} by {}",
                desired(&reached),
                cause.named()
            ));
        }
        Ok(())
    }

    /// Without load, the autoscalers return to the minimum after the stabilization window of the manifests.
    pub(crate) async fn autoscalers_scale_down_again(&mut self) -> anyhow::Result<()> {
        for (name, causes) in CAUSES {
            for cause in causes {
                self.make(name, *cause, false).await?;
            }
        }
        for (name, _) in CAUSES {
            // The window is five minutes. Check that the autoscaler reports it, then shorten it.
            let waits = |scaler: &Value| {
                let (_, message) = condition(scaler, "AbleToScale");
                message.contains("recent recommendations were higher than current one")
            };
            self.until_scaler(name, "waits for its window", waits).await?;
            let at = format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/{name}");
            let faster = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5,
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}}}});
            self.platform.api.merge(&at, &faster).await?.well()?;
        }
        for (name, _) in CAUSES {
            let (least, _) = bounds(&self.scaler(name).await?)?;
            self.until_scaler(name, "is back at its minimum", |scaler| desired(scaler) == least).await?;
            let written = self.platform.environment.object("HorizontalPodAutoscaler", "shop", name)?;
            conformance::platform::apply::applied(&self.platform.api, written).await?;
        }
        Ok(())
    }

    pub(crate) async fn scaler(&self, name: &str) -> anyhow::Result<Value> {
        let at = format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/{name}");
        self.platform.api.get(&at).await?.well()
    }

    /// Waits until an autoscaler meets a condition, and checks that it never exceeds its maximum.
    pub(crate) async fn until_scaler(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let reached = self.within(name, PATIENCE, is_so).await?;
        let status = &self.scaler(name).await?["status"];
        reached.with_context(|| format!("{name} never {what}: {status}"))
    }

    /// Waits for at most that time until an autoscaler meets a condition; `None` if it does not.
    async fn within(
        &self,
        name: &str,
        time: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Option<Value>> {
        let since = Instant::now();
        loop {
            let scaler = self.scaler(name).await?;
            let (_, most) = bounds(&scaler)?;
            ensure!(desired(&scaler) <= most, "{name} is past its bound: {scaler}");
            if is_so(&scaler) {
                return Ok(Some(scaler));
            }
            if since.elapsed() >= time {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Creates or removes a cause.
    async fn make(&self, name: &str, cause: ScalingCause, is_on: bool) -> anyhow::Result<()> {
        self.change(name, cause, is_on, 1.0).await
    }

    /// Adds a share of the load again, if the cause is a counter that grows at once.
    async fn raise(&self, name: &str, cause: ScalingCause, share: f64) -> anyhow::Result<()> {
        match cause {
            ScalingCause::ProcessCpu | ScalingCause::Requests | ScalingCause::Latency => {
                self.change(name, cause, true, share).await
            }
            ScalingCause::Memory | ScalingCause::Cpu | ScalingCause::Queries => Ok(()),
        }
    }

    async fn change(&self, name: &str, cause: ScalingCause, is_on: bool, share: f64) -> anyhow::Result<()> {
        // A pod that was just created has no address and no process yet.
        let runs = |pod: &Value| pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string();
        let seen = || self.platform.kubelet.pods("shop", &format!("{name}-"));
        until(&format!("all pods of {name} are running"), || async { Ok(seen().iter().all(runs)) }).await?;
        let pods: Vec<Value> = seen().into_iter().filter(runs).collect();
        let addresses: Vec<String> =
            pods.iter().map(|pod| format!("{}:8080", text(pod, "/status/podIP"))).collect();
        let kept = |pod: &Value| {
            let key = ("shop".to_owned(), text(pod, "/metadata/name").to_owned());
            shops().lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
        };
        let processes: Vec<_> = pods.iter().filter_map(kept).collect();
        let used = &self.played.as_ref().context("the simulated services are not running")?.used;
        match (cause, is_on) {
            // Usage equal to the request, which is somewhat above the autoscaler's target.
            (ScalingCause::Memory, true) => {
                used.set("shop", name, name, (5, resource_request(&pods, name, "memory")))
            }
            (ScalingCause::Cpu, true) => {
                used.set("shop", name, name, (resource_request(&pods, name, "cpu"), 8))
            }
            (ScalingCause::Memory | ScalingCause::Cpu, false) => used.set("shop", name, name, (5, 8)),
            (ScalingCause::Latency, true) => {
                processes.iter().for_each(|process| process.slow.store(700, Ordering::Relaxed));
                load::requests(&addresses, 24, "/orders").await?;
            }
            // Fast responses, enough to dominate the last two minutes.
            (ScalingCause::Latency, false) => {
                processes.iter().for_each(|process| process.slow.store(1, Ordering::Relaxed));
                if name == "api" {
                    load::requests(&addresses, 1500, "/orders").await?;
                }
            }
            (ScalingCause::Queries, true) => self.query_slowly()?,
            (ScalingCause::Queries, false) => {
                self.queries_slowly.store(false, Ordering::Relaxed);
                self.query(&"SELECT 1;".repeat(5000), 1)?;
            }
            (ScalingCause::ProcessCpu, true) => {
                self.until_counted("process_cpu_seconds_total", name, pods.len()).await?;
                let cores = if name == "api" { 0.7 } else { 0.6 };
                let each = share * cores * two_more(pods.len()) / pods.len() as f64;
                processes.iter().for_each(|process| process.claim(each));
            }
            (ScalingCause::Requests, true) => {
                let (wanted, path, series) = match name {
                    "web" => (200.0, "/healthz", "nginx_http_requests_total"),
                    _ => (50.0, "/orders", "http_requests_total"),
                };
                self.until_counted(series, name, pods.len()).await?;
                let each = share * wanted * two_more(pods.len()) / pods.len() as f64;
                load::requests(&addresses, each as usize, path).await?;
            }
            // The effect of a counter that grew once ends by itself after two minutes.
            (ScalingCause::ProcessCpu | ScalingCause::Requests, false) => {}
        }
        Ok(())
    }

    /// Waits until Prometheus has scraped a counter of each pod, because a rate needs a second sample.
    async fn until_counted(&self, series: &str, name: &str, pods: usize) -> anyhow::Result<()> {
        let counted = format!("count({series}{{namespace=\"shop\", pod=~\"{name}-.*\"}})");
        PrometheusClient(&self.platform.kubelet)
            .until(&counted, PATIENCE, |counted| counted >= pods as f64)
            .await
    }

    /// Runs several one-second queries in parallel until `queries_slowly` is false.
    fn query_slowly(&self) -> anyhow::Result<()> {
        self.queries_slowly.store(true, Ordering::Relaxed);
        let databases = self.played.as_ref().context("the simulated services are not running")?.databases();
        for _ in 0..6 {
            let (mut client, goes_on) = (databases.query("mysql-0", SLOW)?, self.queries_slowly.clone());
            std::thread::spawn(move || {
                while goes_on.load(Ordering::Relaxed) {
                    drop(client.status());
                }
            });
        }
        Ok(())
    }

    /// Executes a statement in the shop's schema.
    fn query(&self, statement: &str, times: usize) -> anyhow::Result<()> {
        let databases = self.played.as_ref().context("the simulated services are not running")?.databases();
        for _ in 0..times {
            ensure!(databases.query("mysql-0", statement)?.status()?.success(), "a query failed");
        }
        Ok(())
    }
}

/// The factor for a rate per pod, added in one moment, so that two more pods are needed. A rate covers two minutes,
/// and an autoscaler tolerates a deviation of 10 %.
fn two_more(pods: usize) -> f64 {
    130.0 * (pods + 2) as f64
}

/// The request of a container in these pods, in millicores or mebibytes.
fn resource_request(pods: &[Value], container: &str, resource: &str) -> u64 {
    let containers = pods.first().map(|pod| &pod["spec"]["containers"]);
    let mut containers = containers.and_then(Value::as_array).into_iter().flatten();
    let found = containers.find(|c| c["name"] == container);
    let quantity = found.map(|c| text(c, &format!("/resources/requests/{resource}"))).unwrap_or_default();
    quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or(0)
}

fn desired(scaler: &Value) -> i64 {
    scaler["status"]["desiredReplicas"].as_i64().unwrap_or(0)
}

fn bounds(scaler: &Value) -> anyhow::Result<(i64, i64)> {
    let bound = |key: &str| scaler["spec"][key].as_i64().with_context(|| format!("{key} of {scaler}"));
    Ok((bound("minReplicas")?, bound("maxReplicas")?))
}

/// The status and message of a condition.
pub(crate) fn condition<'s>(scaler: &'s Value, kind: &str) -> (&'s str, &'s str) {
    let conditions = scaler["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.map(|found| (text(found, "/status"), text(found, "/message"))).unwrap_or_default()
}
