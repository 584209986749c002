//! What is played beside what the manifests deploy: metrics of resources, databases, and what the applications ask them.

use std::time::Duration;

use anyhow::Context as _;
use webhook_server::serve::Server;

use super::Platform;
use super::databases::Databases;
use super::metrics_server::{self, Used};
use super::proxy::text;

/// What is played. It ends with this.
pub struct Played {
    /// What containers use, by metrics-server.
    pub used: Used,
    /// MariaDB, for each pod of MySQL.
    pub databases: Databases,
    _metrics_server: Server,
}

impl Played {
    /// Starts it, once everything is deployed.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(platform: &Platform) -> anyhow::Result<Self> {
        let (kubelet, folder) = (&platform.kubelet, &platform.folder);
        let pods = kubelet.pods("kube-system", "metrics-server");
        let ip = text(pods.first().context("the pod of metrics-server")?, "/status/podIP").to_owned();
        let used = Used::default();
        let metrics_server =
            metrics_server::serve(&format!("{ip}:4443"), kubelet.clone(), used.clone(), folder)?;
        let databases = Databases::start(&platform.api, kubelet, folder).await?;
        let mut ordinary = databases.query("mysql-0", "SELECT 1")?;
        std::thread::spawn(move || {
            loop {
                drop(ordinary.status());
                std::thread::sleep(Duration::from_secs(3));
            }
        });
        platform.progress.step("databases, metrics of resources");
        Ok(Played { used, databases, _metrics_server: metrics_server })
    }
}
