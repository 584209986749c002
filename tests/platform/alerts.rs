//! Do alerts fire when their cause is made, and clear when it is gone?

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use conformance::platform::listeners::HAS_PRIMARY;
use conformance::platform::prometheus::PrometheusClient;

use crate::fixture::PlatformFixture;

/// `for: 2m`, and the time to scrape and evaluate.
const PATIENCE: Duration = Duration::from_secs(240);

impl PlatformFixture {
    /// Makes the causes: a member of MySQL without its server, and MongoDB without a primary.
    pub(crate) fn make_causes(&mut self) -> anyhow::Result<()> {
        self.played()?.databases().stop("mysql-2");
        HAS_PRIMARY.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// They were made before the autoscalers were looked at, for two minutes must pass.
    pub(crate) async fn alerts_fire_and_clear(&mut self) -> anyhow::Result<()> {
        self.make_causes()?;
        for name in ["MongoDBNoPrimary", "MySQLDown"] {
            self.until_alert(name, Some("firing")).await?;
        }
        HAS_PRIMARY.store(true, Ordering::Relaxed);
        let pods = self.platform.kubelet.pods("mysql", "mysql-2");
        self.played()?.databases().start_one(pods.first().context("the pod is there")?)?;
        for name in ["MongoDBNoPrimary", "MySQLDown"] {
            self.until_alert(name, None).await?;
        }
        Ok(())
    }

    /// Waits until an alert is in that state, or is none.
    async fn until_alert(&self, name: &str, state: Option<&str>) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let alerts = PrometheusClient(&self.platform.kubelet).alerts().await?;
            let found = alerts.iter().find(|(alert, _)| alert == name).map(|(_, state)| state.as_str());
            if found == state {
                return Ok(());
            }
            ensure!(since.elapsed() < PATIENCE, "{name} is {found:?}, not {state:?}, among {alerts:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
