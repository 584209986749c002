//! Replaces replicas one by one, as a Deployment does, behind a simulated Service.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use conformance::serving::{Serving, until};
use tokio::net::{TcpListener, TcpStream};
use webhook_server::server::client::Client;

use super::{Load, PodRequest, all_are, folder, register, runs};
use crate::TrialFixture;

/// The addresses that new connections go to in turn, as with kube-proxy.
type Endpoints = Arc<RwLock<Vec<SocketAddr>>>;

/// Simulates a Service: a new connection goes to one endpoint and stays there even if the list changes.
async fn service(endpoints: Endpoints) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let turn = AtomicUsize::new(0);
        while let Ok((mut caller, _)) = listener.accept().await {
            let endpoint = {
                let endpoints = endpoints.read().unwrap_or_else(PoisonError::into_inner);
                let turn = turn.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
                endpoints.get(turn).copied()
            };
            tokio::spawn(async move {
                let mut replica = TcpStream::connect(endpoint?).await.ok()?;
                tokio::io::copy_bidirectional(&mut caller, &mut replica).await.ok()
            });
        }
    });
    Ok(address)
}

/// Starts a replica and waits until it is ready.
async fn replica(folder: &Path, number: usize) -> anyhow::Result<Serving> {
    let own = folder.join(number.to_string());
    std::fs::create_dir_all(&own)?;
    for file in ["tls.crt", "tls.key"] {
        std::fs::copy(folder.join(file), own.join(file))?;
    }
    let config = folder.join("policies.yaml").display().to_string();
    let replica = Serving::start_in(own, "127.0.0.1:0", &["--config", &config, "--drain", "2"])?;
    until("the replica is ready", || async { Ok(replica.client().await?.get("/readyz").await?.0 == 200) })
        .await?;
    Ok(replica)
}

pub(super) async fn replicas(given: TrialFixture) -> anyhow::Result<()> {
    let (api, fault) = (&given.stage.api, "replaced");
    let (folder, config) = folder(fault)?;
    let (certificate, _) = conformance::serving::certificate(&folder)?;
    let mut running = Vec::new();
    for number in 0..3 {
        running.push(replica(&folder, number).await?);
    }
    let addresses = |running: &[Serving]| running.iter().map(|replica| replica.address).collect();
    let endpoints: Endpoints = Arc::new(RwLock::new(addresses(&running)));
    let set = |running: &[Serving]| {
        *endpoints.write().unwrap_or_else(PoisonError::into_inner) = addresses(running);
    };
    let service = service(endpoints.clone()).await?;
    let trusted = running.first().context("no replica found")?.trusted.clone();
    let trust = ["--ca-bundle", &certificate.display().to_string()];
    register(api, (fault, "Validating"), &config, &format!("https://{service}"), &trust).await?;
    runs(api, fault).await?;
    let load = Load::start(api, fault, 3);
    // The API server keeps its connections open. This client opens a new one for every request.
    let done = Arc::new(AtomicBool::new(false));
    let is_done = done.clone();
    let connected = tokio::spawn(async move {
        let mut answered = 0;
        while !is_done.load(Ordering::SeqCst) {
            let mut client = Client::connect(service, trusted.clone()).await?;
            let (status, _) = client.get("/healthz").await?;
            ensure!(status == 200, "{status}");
            answered += 1;
        }
        anyhow::Ok(answered)
    });
    for number in 3..6 {
        running.push(replica(&folder, number).await?);
        set(&running);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let old = running.remove(0);
        old.terminate()?;
        // The replica's shutdown and the removal of its endpoint start together, but the removal takes a moment.
        tokio::time::sleep(Duration::from_secs(1)).await;
        set(&running);
        tokio::task::spawn_blocking(move || old.end()).await??;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let requests = load.stop().await?;
    done.store(true, Ordering::SeqCst);
    let connected = connected.await??;
    ensure!(connected > 100, "only {connected} connections");
    all_are((&requests, |_| true), 200, "at all times", PodRequest::is_well)?;
    drop(running);
    Ok(std::fs::remove_dir_all(folder)?)
}
