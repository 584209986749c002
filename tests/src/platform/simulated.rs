//! What is played beside what the manifests deploy: metrics of resources, databases, and what the applications ask them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use webhook_server::server::Server;

use super::Platform;
use super::databases::Databases;
use super::metrics_server::{self, ResourceUsage};
use super::objects::text;

/// What is played. It ends with the namespace.
pub struct SimulatedServices {
    /// What containers use, by metrics-server.
    pub used: ResourceUsage,
    /// MariaDB, for each pod of MySQL.
    databases: Arc<Mutex<Databases>>,
    _metrics_server: Server,
}

impl SimulatedServices {
    /// The databases, to be asked or stopped.
    pub fn databases(&self) -> MutexGuard<'_, Databases> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, once everything is deployed.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(platform: &Platform) -> anyhow::Result<Self> {
        let (kubelet, folder) = (&platform.kubelet, &platform.folder);
        let pods = kubelet.pods("kube-system", "metrics-server");
        let ip = text(pods.first().context("the pod of metrics-server")?, "/status/podIP").to_owned();
        let used = ResourceUsage::default();
        let metrics_server =
            metrics_server::serve(&format!("{ip}:4443"), kubelet.clone(), used.clone(), folder)?;
        let databases = Databases::start(&platform.api, kubelet, folder).await?;
        let mut ordinary = databases.query("mysql-0", "SELECT 1")?;
        std::thread::spawn(move || {
            loop {
                // It fails while its server is away.
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
        platform.progress.step("databases, metrics of resources");
        Ok(SimulatedServices { used, databases, _metrics_server: metrics_server })
    }
}
