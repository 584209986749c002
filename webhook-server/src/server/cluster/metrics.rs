//! Prometheus metrics about the cluster data.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{KindStatus, WatchedCluster};

/// The watched cluster, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchedClusterHandle(pub(crate) Arc<RwLock<Option<Arc<WatchedCluster>>>>);

impl Collector for WatchedClusterHandle {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let watched = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let known = watched.map(|watched| watched.known()).unwrap_or_default();
        let mut say =
            |name: &str, help: &str, metric: &dyn Fn(&KindStatus) -> Option<Box<dyn EncodeMetric>>| {
                let samples: Vec<_> =
                    known.iter().filter_map(|known| Some((known.kind, metric(known)?))).collect();
                let Some((_, first)) = samples.first() else { return Ok(()) };
                let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
                for (kind, metric) in &samples {
                    metric.encode(family.encode_family(&[("kind", *kind)])?)?;
                }
                Ok(())
            };
        say("cluster_objects", "Objects in memory, by kind", &|known| {
            Some(Box::new(ConstGauge::new(known.objects as i64)))
        })?;
        say("cluster_bytes", "Bytes of the objects in memory, by kind", &|known| {
            Some(Box::new(ConstGauge::new(known.bytes as i64)))
        })?;
        say(
            "cluster_age_seconds",
            "Time since the API server last confirmed that the objects in memory are up to date",
            &|known| Some(Box::new(ConstGauge::new(known.age?.as_secs_f64()))),
        )?;
        say("cluster_failures", "Failed lists and watches of the API server, by kind", &|known| {
            Some(Box::new(ConstCounter::new(known.failures)))
        })
    }
}
