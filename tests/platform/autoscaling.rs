//! Do the autoscalers scale on each of their metrics, up and down again, within their bounds?

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

const PATIENCE: Duration = Duration::from_secs(120);
/// A query of a second, ten times what the autoscaler wants.
const SLOW: &str = "SELECT SLEEP(1)";

/// What an autoscaler is made to scale by.
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
    /// How the controller calls the metric that it scales by.
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

/// Those of each, in an order in which what lasts (rates over two minutes) comes after what does not.
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
        // What alerts wait for takes minutes as well; and there is time to check what is to be broken.
        self.make_causes()?;
        self.checked = Some(self.check_breakages());
        // The series of slow queries is to be there before they are slow: one that is new counts from its second look on.
        self.query("SELECT SLEEP(0)", 1)?;
        // It looks once a minute for series that are new: it was started when there were none.
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

    /// Each cause in its turn: the autoscaler says that it scales by that metric, and does.
    async fn scale_up(&self, name: &str, causes: &[ScalingCause]) -> anyhow::Result<()> {
        let (least, most) = bounds(&self.scaler(name).await?)?;
        for cause in causes {
            let before = desired(&self.scaler(name).await?);
            ensure!(before < most, "{name} is at its bound before {cause:?}");
            self.make(name, *cause, true).await?;
            let what = format!("scales by {}", cause.named());
            let is_so = |scaler: &Value| {
                let (active, output) = condition(scaler, "ScalingActive");
                active == "True" && output.contains(cause.named()) && desired(scaler) > before
            };
            let reached = self.until_scaler(name, &what, is_so).await?;
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

    /// Without load, and once the window has passed in which the manifests keep what was needed: back to the least.
    pub(crate) async fn autoscalers_scale_down_again(&mut self) -> anyhow::Result<()> {
        for (name, causes) in CAUSES {
            for cause in causes {
                self.make(name, *cause, false).await?;
            }
        }
        for (name, _) in CAUSES {
            // Five minutes, as it is written: it says that it waits.
            let waits = |scaler: &Value| {
                let (_, output) = condition(scaler, "AbleToScale");
                output.contains("recent recommendations were higher than current one")
            };
            self.until_scaler(name, "waits for its window", waits).await?;
            let at = format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/{name}");
            let faster = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5,
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}}}});
            self.platform.api.merge(&at, &faster).await?.well()?;
        }
        for (name, _) in CAUSES {
            let (least, _) = bounds(&self.scaler(name).await?)?;
            self.until_scaler(name, "is back at its least", |scaler| desired(scaler) == least).await?;
            let written = self.platform.environment.object("HorizontalPodAutoscaler", "shop", name)?;
            conformance::platform::apply::applied(&self.platform.api, written).await?;
        }
        Ok(())
    }

    pub(crate) async fn scaler(&self, name: &str) -> anyhow::Result<Value> {
        let at = format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/{name}");
        self.platform.api.get(&at).await?.well()
    }

    /// Waits until an autoscaler is so, and never more than it may be meanwhile.
    pub(crate) async fn until_scaler(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let since = Instant::now();
        loop {
            let scaler = self.scaler(name).await?;
            let (_, most) = bounds(&scaler)?;
            ensure!(desired(&scaler) <= most, "{name} is past its bound: {scaler}");
            if is_so(&scaler) {
                return Ok(scaler);
            }
            ensure!(since.elapsed() < PATIENCE, "{name} never {what}: {}", scaler["status"]);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Makes a cause, or takes it away.
    async fn make(&self, name: &str, cause: ScalingCause, is_on: bool) -> anyhow::Result<()> {
        // One that was just asked for has neither address nor process yet.
        let runs = |pod: &Value| pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string();
        let seen = || self.platform.kubelet.pods("shop", &format!("{name}-"));
        until(&format!("all pods of {name} run"), || async { Ok(seen().iter().all(runs)) }).await?;
        let pods: Vec<Value> = seen().into_iter().filter(runs).collect();
        let addresses: Vec<String> =
            pods.iter().map(|pod| format!("{}:8080", text(pod, "/status/podIP"))).collect();
        let kept = |pod: &Value| {
            let key = ("shop".to_owned(), text(pod, "/metadata/name").to_owned());
            shops().lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
        };
        let processes: Vec<_> = pods.iter().filter_map(kept).collect();
        let used = &self.played.as_ref().context("it is not up")?.used;
        match (cause, is_on) {
            // Of what is requested: somewhat more than the autoscaler wants.
            (ScalingCause::Memory, true) => {
                used.set("shop", name, name, (5, requested(&pods, name, "memory")))
            }
            (ScalingCause::Cpu, true) => used.set("shop", name, name, (requested(&pods, name, "cpu"), 8)),
            (ScalingCause::Memory | ScalingCause::Cpu, false) => used.set("shop", name, name, (5, 8)),
            (ScalingCause::Latency, true) => {
                processes.iter().for_each(|process| process.slow.store(700, Ordering::Relaxed));
                load::requests(&addresses, 24, "/orders").await?;
            }
            // Quick answers, so many that they are most of the last two minutes.
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
                let each = cores * two_more(pods.len()) / pods.len() as f64;
                processes.iter().for_each(|process| process.claim(each));
            }
            (ScalingCause::Requests, true) => {
                let (wanted, path, series) = match name {
                    "web" => (200.0, "/healthz", "nginx_http_requests_total"),
                    _ => (50.0, "/orders", "http_requests_total"),
                };
                self.until_counted(series, name, pods.len()).await?;
                let each = wanted * two_more(pods.len()) / pods.len() as f64;
                load::requests(&addresses, each as usize, path).await?;
            }
            // What was counted in a moment is over by itself, two minutes later.
            (ScalingCause::ProcessCpu | ScalingCause::Requests, false) => {}
        }
        Ok(())
    }

    /// Waits until Prometheus has looked at a counter of each of so many pods: one that is new counts from its second look on.
    async fn until_counted(&self, series: &str, name: &str, pods: usize) -> anyhow::Result<()> {
        let counted = format!("count({series}{{namespace=\"shop\", pod=~\"{name}-.*\"}})");
        PrometheusClient(&self.platform.kubelet)
            .until(&counted, PATIENCE, |counted| counted >= pods as f64)
            .await
    }

    /// Has queries of a second each executed, several at once, until it is told not to.
    fn query_slowly(&self) -> anyhow::Result<()> {
        self.queries_slowly.store(true, Ordering::Relaxed);
        let databases = self.played.as_ref().context("it is not up")?.databases();
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

    /// Has a statement executed in the shop's schema.
    fn query(&self, statement: &str, times: usize) -> anyhow::Result<()> {
        let databases = self.played.as_ref().context("it is not up")?.databases();
        for _ in 0..times {
            ensure!(databases.query("mysql-0", statement)?.status()?.success(), "a query fails");
        }
        Ok(())
    }
}

/// For how many seconds a pod's worth of something, used in one moment, is what two pods more than there are would use: a rate is
/// over two minutes, and an autoscaler lets a tenth pass.
fn two_more(pods: usize) -> f64 {
    130.0 * (pods + 2) as f64
}

/// What a container of these pods requests: thousandths of a core, or mebibytes.
fn requested(pods: &[Value], container: &str, resource: &str) -> u64 {
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

/// The status of a condition, and what is said of it.
pub(crate) fn condition<'s>(scaler: &'s Value, kind: &str) -> (&'s str, &'s str) {
    let conditions = scaler["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.map(|found| (text(found, "/status"), text(found, "/message"))).unwrap_or_default()
}
