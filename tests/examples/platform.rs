//! `just platform`: starts the platform, generates load until it scales, and draws a picture of the results.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::platform::chart::{AutoscalerHistory, AutoscalerSample, svg};
use conformance::platform::objects::text;
use conformance::platform::progress::Progress;
use conformance::platform::prometheus::{ActiveTarget, PrometheusClient};
use conformance::platform::simulated::SimulatedServices;
use conformance::platform::{Platform, check_available, load};
use conformance::{namespace, process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(180);
const METRIC: &str = "http_requests_per_second";
const SCALER: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web";

fn main() -> ExitCode {
    if let Some(code) = process::as_pratique() {
        return code;
    }
    if let Some(code) =
        namespace::inside(|arguments| watch(arguments.first().map_or("platform.svg", String::as_str)))
    {
        return code;
    }
    let picture = std::env::args().nth(1).unwrap_or_else(|| "platform.svg".to_owned());
    if let Err(reason) = check_available() {
        eprintln!("the platform cannot be started here: {reason}");
        return ExitCode::FAILURE;
    }
    println!(
        "The platform of manifests/clusters/production, in its own network namespace with only loopback.\n"
    );
    match namespace::show(&[&picture]) {
        Ok(_) => {
            println!(
                "\n{picture} shows the targets and how the autoscaler scaled. The platform has stopped."
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs inside the network namespace.
fn watch(picture: &str) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let platform = Platform::start("production", Progress::new()).await?;
        platform.deploy().await?;
        let _played = SimulatedServices::start(&platform).await?;
        let targets = targets(&platform).await?;
        for target in &targets {
            eprintln!("             {:4}  {:42}  {}", target.health, target.pool, target.address);
        }
        let scaled = scale(&platform).await?;
        std::fs::write(Path::new(picture), svg(&targets, &scaled)).with_context(|| picture.to_owned())?;
        Ok(json!({"targets": targets.len()}))
    })
}

/// Waits until all targets are up.
async fn targets(platform: &Platform) -> anyhow::Result<Vec<ActiveTarget>> {
    let since = Instant::now();
    loop {
        let targets = PrometheusClient(&platform.kubelet).targets().await.unwrap_or_default();
        if targets.len() > 25 && targets.iter().all(|target| target.health == "up") {
            platform.progress.step(&format!("Prometheus scrapes {} targets, all of them up", targets.len()));
            return Ok(targets);
        }
        ensure!(since.elapsed() < PATIENCE, "targets are not up: {targets:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Generates load on the web server until its autoscaler has added pods, and records samples.
async fn scale(platform: &Platform) -> anyhow::Result<AutoscalerHistory> {
    let scaler = || async { platform.api.get(SCALER).await?.well() };
    let value = |scaler: &Value| {
        let metrics = scaler["status"]["currentMetrics"].as_array().into_iter().flatten();
        let mut found = metrics.filter(|metric| metric["pods"]["metric"]["name"] == METRIC);
        found.next().map_or(f64::NAN, |metric| quantity(text(metric, "/pods/current/averageValue")))
    };
    let desired = |scaler: &Value| scaler["status"]["desiredReplicas"].as_f64().unwrap_or(0.0);
    let since = Instant::now();
    while value(&scaler().await?).is_nan() {
        ensure!(since.elapsed() < PATIENCE, "the autoscaler has no metric");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    platform.progress.step("the autoscaler of shop/web has its metric");
    let first = scaler().await?;
    let mut scaled = AutoscalerHistory {
        name: "shop/web".to_owned(),
        metric: METRIC.to_owned(),
        target: target(&first)?,
        bounds: (desired(&first), first["spec"]["maxReplicas"].as_f64().unwrap_or(10.0)),
        moments: Vec::new(),
    };
    let pods = platform.kubelet.pods("shop", "web-");
    let addresses: Vec<String> =
        pods.iter().map(|pod| format!("{}:8080", text(pod, "/status/podIP"))).collect();
    let loaded = tokio::spawn(async move { load::requests(&addresses, 60_000, "/healthz").await });
    let (since, mut replicas) = (Instant::now(), desired(&first));
    loop {
        let now = scaler().await?;
        let moment = AutoscalerSample {
            at: since.elapsed().as_secs_f64(),
            desired: desired(&now),
            value: value(&now),
        };
        scaled.moments.push(moment);
        if moment.desired > replicas {
            let what = format!(
                "{} to {} pods at {:.0} requests per second and pod",
                replicas, moment.desired, moment.value
            );
            platform.progress.step(&what);
            replicas = moment.desired;
        }
        if moment.desired >= 6.0 && moment.at > 45.0 {
            break;
        }
        ensure!(since.elapsed() < PATIENCE, "the autoscaler does not scale: {}", now["status"]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    loaded.await??;
    Ok(scaled)
}

/// The autoscaler's target value of the metric per pod.
fn target(scaler: &Value) -> anyhow::Result<f64> {
    let metrics = scaler["spec"]["metrics"].as_array().into_iter().flatten();
    let mut found = metrics.filter(|metric| metric["pods"]["metric"]["name"] == METRIC);
    let metric = found.next().context("the autoscaler does not use the metric")?;
    Ok(quantity(text(metric, "/pods/target/averageValue")))
}

/// Parses a quantity: `1500m` is 1.5.
fn quantity(text: &str) -> f64 {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().map_or(f64::NAN, |value| value / 1000.0),
        None => text.strip_suffix('k').map_or_else(
            || text.parse().unwrap_or(f64::NAN),
            |thousands| thousands.parse::<f64>().map_or(f64::NAN, |value| value * 1000.0),
        ),
    }
}
