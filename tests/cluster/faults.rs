//! What becomes of the API server's requests when something fails: no bad pod is let in, and good ones wait no longer than they
//! must.

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
use conformance::registration::{self, ASKED, rendered};
use conformance::serving::{Serving, until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Run;
use crate::trials::{create, namespace, pod, restricted};

pub(crate) const TRIALS: &[(&str, Run)] = &[
    ("faults::a_killed_webhook_lets_nothing_in", |given| Box::pin(killed::validation(given))),
    ("faults::a_dead_mutation_is_ignored_and_its_pods_judged", |given| Box::pin(killed::mutation(given))),
    ("faults::it_renews_its_own_certificates_under_load", |given| Box::pin(managed::renewed(given))),
    ("faults::replicas_are_replaced_without_a_failed_request", |given| Box::pin(replaced::replicas(given))),
    ("faults::the_api_server_goes_and_comes_back", |given| Box::pin(gone::and_back(given))),
    ("faults::large_objects_are_judged", |given| Box::pin(large::evaluated(given))),
];

/// What has some of it that is to be judged, and some that is to be changed.
const POLICIES: &str = "policies:\n- name: pod-security-standards\n- name: prometheus-labels\n";

/// A folder of its own for a fault, with [`POLICIES`] in a file.
fn folder(fault: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-{fault}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("policies.yaml");
    std::fs::write(&config, POLICIES)?;
    Ok((folder, config))
}

/// Has the API server ask a webhook at this URL about the namespace that is named like the fault, which is made if it is not
/// there: one of the two halves, as the rendered configuration has it, trusting what `trust` says.
async fn register(
    api: &Api,
    (fault, half): (&str, &str),
    config: &Path,
    url: &str,
    trust: &[&str],
) -> anyhow::Result<()> {
    if api.get(&format!("/api/v1/namespaces/{fault}")).await?.status == 404 {
        namespace(api, fault, json!({ASKED: fault})).await?;
    }
    let config = config.to_str().context("a path is UTF-8")?;
    let mut arguments = vec!["--config", config, "--url", url];
    arguments.extend(trust);
    registration::register(api, fault, half, &rendered(pratique(), &arguments)?).await
}

/// A webhook in a process of its own, registered for one half.
async fn serve(api: &Api, fault: &str, half: &str) -> anyhow::Result<Serving> {
    let (folder, config) = folder(&format!("{fault}-{half}"))?;
    let (certificate, _) = conformance::serving::certificate(&folder)?;
    let given = config.display().to_string();
    let webhook = Serving::start_in(folder, "127.0.0.1:0", &["--config", &given, "--drain", "0"])?;
    let url = format!("https://{}", webhook.address);
    let trust = ["--ca-bundle", &certificate.display().to_string()];
    register(api, (fault, half), &config, &url, &trust).await?;
    Ok(webhook)
}

/// A pod that all policies like, with a port that Prometheus is to ask.
fn good() -> Value {
    let mut spec = restricted();
    spec["containers"][0]["ports"] = json!([{"name": "metrics", "containerPort": 9090}]);
    let mut pod = pod("web", spec);
    pod["metadata"] = json!({"generateName": "web-", "labels": {"app": "web"}});
    pod
}

/// One that none may let in.
fn bad() -> Value {
    let mut bad = good();
    bad["spec"]["hostNetwork"] = json!(true);
    bad
}

/// What became of a pod.
struct PodRequest {
    from: Instant,
    to: Instant,
    is_bad: bool,
    status: u16,
    /// Whether it was changed on its way.
    is_labelled: bool,
    message: String,
}

impl PodRequest {
    /// Whether it is as it is to be while all is well.
    fn is_well(&self) -> bool {
        match self.is_bad {
            true => self.status == 403 && self.message.contains("spec.hostNetwork: must not be true"),
            false => self.status == 201,
        }
    }
}

/// Good and bad pods in turn, from several sides, until it is stopped.
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
        while let Some(requests) = self.tasks.join_next().await {
            all.extend(requests??);
        }
        Ok(all)
    }
}

/// At least that many of some were asked about, and became what they were to.
fn all_are(
    (all, are_meant): (&[PodRequest], impl Fn(&PodRequest) -> bool),
    least: usize,
    what: &str,
    is: impl Fn(&PodRequest) -> bool,
) -> anyhow::Result<()> {
    let requests: Vec<&PodRequest> = all.iter().filter(|requests| are_meant(requests)).collect();
    ensure!(requests.len() >= least, "{what}: only {} pods were asked about", requests.len());
    match requests.iter().find(|requests| !is(requests)) {
        Some(PodRequest { is_bad, status, is_labelled, message, .. }) => {
            bail!("{what}: bad {is_bad}, status {status}, labelled {is_labelled}: {message}")
        }
        None => Ok(()),
    }
}

/// Waits until the API server asks, and is answered.
async fn runs(api: &Api, namespace: &str) -> anyhow::Result<()> {
    until("the webhook is asked", || async {
        let refused = create(api, namespace, "pods?dryRun=All", &bad()).await?.status == 403;
        Ok(refused && create(api, namespace, "pods?dryRun=All", &good()).await?.status == 201)
    })
    .await
}
