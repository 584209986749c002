//! Alerts fire when their cause occurs, and clear when it is gone.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::platform::listeners::HAS_PRIMARY;
use conformance::platform::prometheus::PrometheusClient;

use crate::fixture::PlatformFixture;

/// `for: 2m`, plus the time to scrape and evaluate.
const PATIENCE: Duration = Duration::from_secs(600);

impl PlatformFixture {
    /// Creates the causes: stops the server of a MySQL member, and leaves MongoDB without a primary.
    pub(crate) fn make_causes(&mut self) -> anyhow::Result<()> {
        self.played()?.databases().stop("mysql-2");
        HAS_PRIMARY.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The causes already exist since the autoscaling scene, because the alerts need two minutes to fire.
    pub(crate) async fn alerts_fire_and_clear(&mut self) -> anyhow::Result<()> {
        self.make_causes()?;
        for name in ["MongoDBNoPrimary", "MySQLDown"] {
            self.until_alert(name, Some("firing")).await?;
        }
        HAS_PRIMARY.store(true, Ordering::Relaxed);
        let pods = self.platform.kubelet.pods("mysql", "mysql-2");
        self.played()?.databases().start_one(pods.first().context("no pod mysql-2 found")?)?;
        for name in ["MongoDBNoPrimary", "MySQLDown"] {
            self.until_alert(name, None).await?;
        }
        Ok(())
    }

    /// Waits until an alert has this state, or does not exist.
    async fn until_alert(&self, name: &str, state: Option<&str>) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let alerts = PrometheusClient(&self.platform.kubelet).alerts().await?;
            let found = alerts.iter().find(|(alert, _)| alert == name).map(|(_, state)| state.as_str());
            if found == state {
                return Ok(());
            }
            ensure!(
                since.elapsed() < PATIENCE,
                "alert {name} is {found:?}, expected {state:?}; all alerts: {alerts:?}"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
