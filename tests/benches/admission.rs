//! Measures the latency that the webhook adds to a request: at its own port, and through a real API server with and
//! without it. For comparison, it also measures a webhook that only scans for the uid. All measurements are in one run.
//!
//! The API server gets dry-run requests to create one pod: it decodes, authorizes, sets defaults, calls the webhooks,
//! validates and responds, and stores nothing.

#[path = "input/review.rs"]
mod input;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use conformance::control_plane::{self, Api, ControlPlane};
use conformance::measure::cpu;
use conformance::process::dist_binary;
use conformance::registration::{WEBHOOK_LABEL, register, rendered};
use conformance::servers::{self, ROUND, ROUNDS, Round, Servers, load, median};
use conformance::serving::until;
use serde_json::{Value, json};

/// The namespaces, and the webhooks that the API server calls for each.
const PATHS: [(&str, &str); 4] = [
    ("none", "no webhook"),
    ("bare", "a webhook that scans for the uid"),
    ("validated", "Pratique, validating"),
    ("changed", "Pratique, mutating and validating"),
];

fn main() {
    servers::main(|folder| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(measure(folder)).expect("the measurement succeeds");
    });
}

async fn measure(folder: &Path) -> anyhow::Result<()> {
    let plane =
        ControlPlane::without_controllers(&control_plane::assets().map_err(anyhow::Error::msg)?).await?;
    let servers = Servers::start(folder);
    let review = input::review();
    set(&plane.api, &servers).await?;
    let mut ports = vec![Vec::new(); 2];
    let mut paths = vec![vec![Vec::new(); PATHS.len()]; 2];
    for _ in 0..ROUNDS {
        for ((process, path), rounds) in
            [(&servers.webhook, "/validate"), (&servers.bare, "/skim")].iter().zip(&mut ports)
        {
            rounds.push(load(process, &servers.connector, 1, path, &review).await);
        }
        for (sides, rounds) in [1, 8].into_iter().zip(&mut paths) {
            for ((namespace, _), rounds) in PATHS.iter().zip(rounds) {
                let before = cpu(servers.bare.pid());
                rounds.push(run_round(&plane.api, namespace, sides).await?);
                let was_called = cpu(servers.bare.pid()) > before;
                ensure!(
                    was_called == (*namespace == "bare"),
                    "the bare server was called for {namespace}: {was_called}"
                );
            }
        }
    }
    println!("admission: a pod in a review of {} bytes, all processes on the same processors", review.len());
    println!(
        "           medians of {ROUNDS} rounds of {} s, one after the other within each round\n",
        ROUND.as_secs()
    );
    println!("at the port, one connection                  req/s   p50 ms   p99 ms");
    for (name, rounds) in ["Pratique", "a webhook that scans for the uid"].iter().zip(&ports) {
        say(name, median(rounds), None);
    }
    for (sides, rounds) in [1, 8].into_iter().zip(&paths) {
        println!("\nthrough the API server, {sides} concurrent requests");
        let without = rounds.first().map(|rounds| median(rounds));
        for ((_, name), rounds) in PATHS.iter().zip(rounds) {
            say(name, median(rounds), without);
        }
    }
    Ok(())
}

fn say(name: &str, round: Round, without: Option<Round>) {
    let of = |without: Round| {
        format!("   {:.2} of the time without, {:+.2} ms", round.p50 / without.p50, round.p50 - without.p50)
    };
    let more = without.map(of).unwrap_or_default();
    println!("  {name:40} {:7.0} {:8.3} {:8.3}{more}", round.rate, round.p50, round.p99);
}

/// Registers the webhooks, and waits until the API server calls them.
async fn set(api: &Api, servers: &Servers) -> anyhow::Result<()> {
    for (namespace, _) in PATHS {
        let labels = json!({WEBHOOK_LABEL: namespace});
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
        api.post("/api/v1/namespaces", &object).await?.well()?;
    }
    let cert = servers.cert.display().to_string();
    let url = format!("https://{}", servers.webhook.address);
    let ours = rendered(Command::new(dist_binary()), &["--url", &url, "--ca-bundle", &cert])?;
    let mut bare = ours.clone();
    for webhook in bare.iter_mut().filter_map(|object| object["webhooks"].as_array_mut()).flatten() {
        webhook["clientConfig"]["url"] = json!(format!("https://{}/skim", servers.bare.address));
    }
    register(api, "bare", "Validating", &bare).await?;
    register(api, "validated", "Validating", &ours).await?;
    register(api, "changed", "Validating", &ours).await?;
    register(api, "changed", "Mutating", &ours).await?;
    let mut bad = pod();
    // Not `hostNetwork`, because three containers have the same port.
    bad["spec"]["hostPID"] = json!(true);
    for namespace in ["validated", "changed"] {
        until("the webhook is called", || async {
            let answer = api.post(&path(namespace), &bad).await?;
            ensure!([201, 403].contains(&answer.status), "{}: {}", answer.status, answer.body["message"]);
            Ok(answer.status == 403)
        })
        .await?;
    }
    Ok(())
}

fn path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods?dryRun=All")
}

/// The pod of the review, without its namespace.
fn pod() -> Value {
    let review: Value = serde_json::from_str(&input::review()).expect("the review is JSON");
    let mut pod = review["request"]["object"].clone();
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    pod
}

/// One round of dry-run requests with this concurrency.
async fn run_round(api: &Api, namespace: &'static str, sides: usize) -> anyhow::Result<Round> {
    let since = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..sides {
        let api = api.clone();
        tasks.spawn(async move {
            let (path, pod) = (path(namespace), pod());
            let mut latencies: Vec<Duration> = Vec::new();
            while since.elapsed() < ROUND {
                let start = Instant::now();
                api.post(&path, &pod).await?.well()?;
                latencies.push(start.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(some) = tasks.join_next().await {
        latencies.extend(some??);
    }
    let elapsed = since.elapsed();
    Ok(Round::of(latencies, elapsed, Duration::ZERO))
}
