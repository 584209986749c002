//! The scenes that run inside the namespace, in order.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use conformance::platform::progress::Progress;
use conformance::platform::simulated::SimulatedServices;
use conformance::platform::{Platform, connections};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::flows::{self, ObservedFlow};

/// The state that the scenes share.
pub(crate) struct PlatformFixture {
    pub(crate) platform: Platform,
    /// The simulated services; `None` until the platform is up.
    pub(crate) played: Option<SimulatedServices>,
    /// The result of `check` for the broken manifests, once it is available: a list of errors.
    pub(crate) checked: Option<JoinHandle<Vec<String>>>,
    /// Whether slow queries are running.
    pub(crate) queries_slowly: Arc<AtomicBool>,
    /// The observed connections.
    pub(crate) flows: Arc<Mutex<BTreeSet<ObservedFlow>>>,
}

type RunningScene<'s> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 's>>;
type Scene = for<'s> fn(&'s mut PlatformFixture) -> RunningScene<'s>;

/// The scenes. Each one starts from the state that the previous ones leave.
pub(crate) const SCENES: &[(&str, Scene)] = &[
    ("comes_up", |stage| Box::pin(stage.comes_up())),
    ("no_packet_can_leave", |stage| Box::pin(stage.no_packet_can_leave())),
    ("every_pod_runs_with_its_sidecar", |stage| Box::pin(stage.every_pod_runs_with_its_sidecar())),
    ("nothing_drifts", |stage| Box::pin(stage.nothing_drifts())),
    ("every_secret_unseals", |stage| Box::pin(stage.every_secret_unseals())),
    ("one_sealed_for_another_namespace_stays_sealed", |stage| {
        Box::pin(stage.a_secret_moved_to_another_namespace_stays_sealed())
    }),
    ("every_target_is_discovered_once", |stage| Box::pin(stage.every_target_is_discovered_once())),
    ("real_exporters_see_real_servers", |stage| Box::pin(stage.real_exporters_see_real_servers())),
    ("an_upgrade_a_scale_a_rollback", |stage| Box::pin(stage.an_upgrade_a_scale_a_rollback())),
    ("every_recorded_series_has_a_value", |stage| Box::pin(stage.every_recorded_series_has_a_value())),
    ("autoscalers_scale_up_on_every_metric", |stage| Box::pin(stage.autoscalers_scale_up_on_every_metric())),
    ("the_webhook_is_gone_for_30_s", |stage| Box::pin(stage.the_webhook_is_gone())),
    ("a_certificate_expires", |stage| Box::pin(stage.a_certificate_expires())),
    // By then, the two minutes of the alerts and of the rates have passed.
    ("alerts_fire_and_clear", |stage| Box::pin(stage.alerts_fire_and_clear())),
    ("autoscalers_scale_down_again", |stage| Box::pin(stage.autoscalers_scale_down_again())),
    ("prometheus_is_restarted", |stage| Box::pin(stage.prometheus_is_restarted())),
    ("the_adapter_is_gone", |stage| Box::pin(stage.the_adapter_is_gone())),
    ("the_operator_is_restarted", |stage| Box::pin(stage.the_operator_is_restarted())),
    ("etcd_is_compacted", |stage| Box::pin(stage.etcd_is_compacted())),
    ("check_finds_every_mistake_and_the_platform_shows_it", |stage| {
        Box::pin(stage.check_finds_every_mistake())
    }),
    ("no_program_has_ended_by_itself", |stage| Box::pin(stage.no_program_has_ended())),
    ("every_connection_is_one_that_the_map_allows", |stage| Box::pin(stage.every_connection_is_allowed())),
];

/// Runs the requested scenes and those that all others need, and returns the result of each.
pub(crate) fn play(wanted: &[String]) -> anyhow::Result<Value> {
    let environment = wanted.first().context("the first argument must be an environment")?.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let platform = Platform::start(&environment, Progress::new()).await?;
        let mut stage = PlatformFixture {
            platform,
            played: None,
            checked: None,
            queries_slowly: Arc::default(),
            flows: Arc::default(),
        };
        let mut seen = json!({});
        for (name, scene) in SCENES {
            if *name != "comes_up" && !wanted.iter().any(|wanted| wanted == name) {
                continue;
            }
            let result = match stage.platform.control.is_well() {
                Ok(()) => scene(&mut stage).await,
                Err(error) => Err(error),
            };
            stage.platform.progress.done(name, &result);
            seen[*name] = result.err().map(|error| format!("{error:#}")).unwrap_or_default().into();
        }
        Ok(seen)
    })
}

impl PlatformFixture {
    /// The simulated services.
    pub(crate) fn played(&mut self) -> anyhow::Result<&mut SimulatedServices> {
        self.played.as_mut().context("the simulated services are not running")
    }

    /// Starts the simulated services, and a task that records connections.
    pub(crate) async fn start_simulated_services(&mut self) -> anyhow::Result<()> {
        self.played = Some(SimulatedServices::start(&self.platform).await?);
        let kubelet = &self.platform.kubelet;
        let (kubelet, kept) = (kubelet.clone(), self.flows.clone());
        let control = self.platform.control.pids();
        tokio::spawn(async move {
            loop {
                let containers = kubelet.pids();
                let pids: Vec<u32> = control
                    .iter()
                    .map(|(_, pid)| *pid)
                    .chain(containers.iter().map(|(_, pid)| *pid))
                    .collect();
                let seen =
                    tokio::task::spawn_blocking(move || connections::now(&pids)).await.unwrap_or_default();
                let (pods, services) = kubelet.seen();
                let found = flows::of(&seen, &control, &containers, &pods, &services);
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        Ok(())
    }
}
