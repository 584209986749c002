//! Simulates services that the manifests do not deploy here: metrics-server, the databases, and the applications' queries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use webhook_server::server::Server;

use super::Platform;
use super::databases::Databases;
use super::metrics_server::{self, ResourceUsage};
use super::objects::text;

/// The simulated services. They end with the namespace.
pub struct SimulatedServices {
    /// The usage of containers that metrics-server reports.
    pub used: ResourceUsage,
    /// MariaDB, for each MySQL pod.
    databases: Arc<Mutex<Databases>>,
    _metrics_server: Server,
}

impl SimulatedServices {
    /// The databases, to query or stop them.
    pub fn databases(&self) -> MutexGuard<'_, Databases> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the services. Call it after everything is deployed.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(platform: &Platform) -> anyhow::Result<Self> {
        let (kubelet, folder) = (&platform.kubelet, &platform.folder);
        let pods = kubelet.pods("kube-system", "metrics-server");
        let ip = text(pods.first().context("no metrics-server pod found")?, "/status/podIP").to_owned();
        let used = ResourceUsage::default();
        let metrics_server =
            metrics_server::serve(&format!("{ip}:4443"), kubelet.clone(), used.clone(), folder)?;
        let databases = Databases::start(&platform.api, kubelet, folder).await?;
        let mut ordinary = databases.query("mysql-0", "SELECT 1")?;
        std::thread::spawn(move || {
            loop {
                // It fails while its server is stopped.
                drop(ordinary.status());
                std::thread::sleep(Duration::from_secs(3));
            }
        });
        let databases = Arc::new(Mutex::new(databases));
        let (followed, seen) = (databases.clone(), kubelet.clone());
        tokio::spawn(async move {
            loop {
                let pods = seen.pods("mysql", "mysql-");
                if let Err(error) = followed.lock().unwrap_or_else(PoisonError::into_inner).follow(&pods) {
                    eprintln!("the databases: {error:#}");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        platform.progress.step("databases, resource metrics");
        Ok(SimulatedServices { used, databases, _metrics_server: metrics_server })
    }
}
