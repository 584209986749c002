//! The webhook is killed under load and started again.

use std::time::{Duration, Instant};

use anyhow::ensure;
use conformance::serving::{Serving, until};

use super::{Load, PodRequest, all_are, good, runs, serve};
use crate::TrialFixture;
use crate::trials::create;

/// The duration of each phase.
const PHASE: Duration = Duration::from_secs(2);

/// While the validating webhook is down, requests are rejected. No bad pod is admitted before, during or after the outage.
pub(super) async fn validation(given: TrialFixture) -> anyhow::Result<()> {
    let api = &given.stage.api;
    let webhook = serve(api, "killed", "Validating").await?;
    runs(api, "killed").await?;
    let load = Load::start(api, "killed", 3);
    tokio::time::sleep(PHASE).await;
    let before = Instant::now();
    let (folder, address) = webhook.kill()?;
    let dead = Instant::now();
    tokio::time::sleep(PHASE).await;
    let restarted = Instant::now();
    let config = folder.join("policies.yaml").display().to_string();
    let _webhook = Serving::start_in(folder, &address.to_string(), &["--config", &config, "--drain", "0"])?;
    runs(api, "killed").await?;
    let back = Instant::now();
    tokio::time::sleep(PHASE).await;
    let requests = load.stop().await?;
    all_are((&requests, |request| request.is_bad), 30, "no bad pod is admitted", |request| {
        request.status != 201
    })?;
    all_are((&requests, |request| request.to < before), 10, "before", PodRequest::is_well)?;
    all_are((&requests, |request| request.from > dead && request.to < restarted), 10, "dead", |request| {
        request.status == 500 && request.message.contains("failed calling webhook \"validate.pratique.dev\"")
    })?;
    all_are((&requests, |request| request.from > back), 10, "back", PodRequest::is_well)
}

/// While only the mutating webhook is down, pods are not changed, but they are still validated.
pub(super) async fn mutation(given: TrialFixture) -> anyhow::Result<()> {
    let api = &given.stage.api;
    let mutating = serve(api, "ignored", "Mutating").await?;
    let _validating = serve(api, "ignored", "Validating").await?;
    runs(api, "ignored").await?;
    until("the webhook changes pods", || async {
        let made = create(api, "ignored", "pods?dryRun=All", &good()).await?.well()?;
        Ok(made["metadata"]["labels"]["pratique.dev/scrape"] == "true")
    })
    .await?;
    let load = Load::start(api, "ignored", 3);
    tokio::time::sleep(PHASE).await;
    let before = Instant::now();
    let (folder, _) = mutating.kill()?;
    let dead = Instant::now();
    let made = create(api, "ignored", "pods", &good()).await?.well()?;
    ensure!(made["metadata"]["labels"]["pratique.dev/scrape"].is_null(), "{}", made["metadata"]);
    tokio::time::sleep(PHASE).await;
    let requests = load.stop().await?;
    std::fs::remove_dir_all(folder)?;
    all_are((&requests, |_| true), 60, "validated at all times", PodRequest::is_well)?;
    let changed = |request: &PodRequest| request.is_labelled;
    all_are((&requests, |request| !request.is_bad && request.to < before), 10, "before", changed)?;
    all_are((&requests, |request| !request.is_bad && request.from > dead), 10, "dead", |request| {
        !changed(request)
    })
}
