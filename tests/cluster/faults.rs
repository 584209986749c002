//! Requests through the API server while something fails: no bad pod is admitted, and good pods wait no longer than
//! necessary.

mod gone;
mod killed;
mod large;
mod managed;
mod replaced;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use conformance::control_plane::Api;
use conformance::process::pratique;
use conformance::registration::{self, WEBHOOK_LABEL, rendered};
use conformance::serving::{Serving, until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Run;
use crate::trials::{create, namespace, pod, restricted};

pub(crate) const TRIALS: &[(&str, Run)] = &[
    ("faults::a_killed_webhook_admits_nothing", |given| Box::pin(killed::validation(given))),
    ("faults::pods_are_validated_without_the_mutating_webhook", |given| Box::pin(killed::mutation(given))),
    ("faults::it_renews_its_own_certificates_under_load", |given| Box::pin(managed::renewed(given))),
    ("faults::replicas_are_replaced_without_a_failed_request", |given| Box::pin(replaced::replicas(given))),
    ("faults::the_api_server_goes_and_comes_back", |given| Box::pin(gone::and_back(given))),
    ("faults::large_objects_are_evaluated", |given| Box::pin(large::evaluated(given))),
];

/// One validating and one mutating policy.
const POLICIES: &str = "policies:\n- name: pod-security-standards\n- name: prometheus-labels\n";

/// Creates a temporary folder for a fault, with [`POLICIES`] in a file.
fn folder(fault: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-{fault}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("policies.yaml");
    std::fs::write(&config, POLICIES)?;
    Ok((folder, config))
}

/// Registers a webhook URL for the namespace that has the fault's name, and creates the namespace if it does not
/// exist. Uses the `Validating` or `Mutating` half of the rendered configuration, with the arguments of `trust`.
async fn register(
    api: &Api,
    (fault, phase): (&str, &str),
    config: &Path,
    url: &str,
    trust: &[&str],
) -> anyhow::Result<()> {
    if api.get(&format!("/api/v1/namespaces/{fault}")).await?.status == 404 {
        namespace(api, fault, json!({WEBHOOK_LABEL: fault})).await?;
    }
    let config = config.to_str().context("the path must be UTF-8")?;
    let mut arguments = vec!["--config", config, "--url", url];
    arguments.extend(trust);
    registration::register(api, fault, phase, &rendered(pratique(), &arguments)?).await
}

/// Starts a webhook in its own process, registered as `Validating` or `Mutating`.
async fn serve(api: &Api, fault: &str, phase: &str) -> anyhow::Result<Serving> {
    let (folder, config) = folder(&format!("{fault}-{phase}"))?;
    let (certificate, _) = conformance::serving::certificate(&folder)?;
    let given = config.display().to_string();
    let webhook = Serving::start_in(folder, "127.0.0.1:0", &["--config", &given, "--drain", "0"])?;
    let url = format!("https://{}", webhook.address);
    let trust = ["--ca-bundle", &certificate.display().to_string()];
    register(api, (fault, phase), &config, &url, &trust).await?;
    Ok(webhook)
}

/// A pod that all policies admit, with a metrics port.
fn good() -> Value {
    let mut spec = restricted();
    spec["containers"][0]["ports"] = json!([{"name": "metrics", "containerPort": 9090}]);
    let mut pod = pod("web", spec);
    pod["metadata"] = json!({"generateName": "web-", "labels": {"app": "web"}});
    pod
}

/// A pod that must never be admitted.
fn bad() -> Value {
    let mut bad = good();
    bad["spec"]["hostNetwork"] = json!(true);
    bad
}

/// A request to create a pod, and its result.
struct PodRequest {
    from: Instant,
    to: Instant,
    is_bad: bool,
    status: u16,
    /// Whether the webhook added its label.
    is_labelled: bool,
    message: String,
}

impl PodRequest {
    /// Whether the result is the expected one for a working webhook.
    fn is_well(&self) -> bool {
        match self.is_bad {
            true => self.status == 403 && self.message.contains("spec.hostNetwork: must not be true"),
            false => self.status == 201,
        }
    }
}

/// Creates good and bad pods in turn, from several tasks, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<anyhow::Result<Vec<PodRequest>>>,
}

impl Load {
    fn start(api: &Api, namespace: &'static str, sides: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..sides {
            let (api, stop) = (api.clone(), stop.clone());
            tasks.spawn(async move {
                let mut all = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    for (is_bad, pod) in [(false, good()), (true, bad())] {
                        let from = Instant::now();
                        let answer = create(&api, namespace, "pods?dryRun=All", &pod).await?;
                        let is_labelled = answer.body["metadata"]["labels"]["pratique.dev/scrape"] == "true";
                        let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
                        all.push(PodRequest {
                            from,
                            to: Instant::now(),
                            is_bad,
                            status: answer.status,
                            is_labelled,
                            message,
                        });
                    }
                }
                Ok(all)
            });
        }
        Load { stop, tasks }
    }

    async fn stop(mut self) -> anyhow::Result<Vec<PodRequest>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        while let Some(sent) = self.tasks.join_next().await {
            all.extend(sent??);
        }
        Ok(all)
    }
}

/// Checks that at least `least` requests match a condition, and that all of these have the expected result.
fn all_are(
    (all, are_meant): (&[PodRequest], impl Fn(&PodRequest) -> bool),
    least: usize,
    what: &str,
    is: impl Fn(&PodRequest) -> bool,
) -> anyhow::Result<()> {
    let requests: Vec<&PodRequest> = all.iter().filter(|request| are_meant(request)).collect();
    ensure!(requests.len() >= least, "{what}: only {} requests were sent", requests.len());
    match requests.iter().find(|request| !is(request)) {
        Some(PodRequest { is_bad, status, is_labelled, message, .. }) => {
            bail!("{what}: bad {is_bad}, status {status}, labelled {is_labelled}: {message}")
        }
        None => Ok(()),
    }
}

/// Waits until the API server calls the webhook and gets responses.
async fn runs(api: &Api, namespace: &str) -> anyhow::Result<()> {
    until("the webhook is called", || async {
        let refused = create(api, namespace, "pods?dryRun=All", &bad()).await?.status == 403;
        Ok(refused && create(api, namespace, "pods?dryRun=All", &good()).await?.status == 201)
    })
    .await
}
