//! The platform of `manifests`, running on loopback: a control plane, nodes that are played, and the real components, started with
//! what the manifests say.
//!
//! ```text
//! namespace (loopback alone) ── control: etcd, API server, controllers, scheduler; kwok plays the nodes
//!    └─ apply: the Applications, wave by wave ──▶ stored pods ──▶ kubelet: a program for each container that has one,
//!         │                                                       on the pod's address; stand-ins for the others
//!         ├─ certificates: what cert-manager would issue          proxy: connections to Services, to the pods behind them
//!         └─ charts: what the charts would make                   prometheus: what the config reloader would do
//! ```
//!
//! What is played, and by what it differs from a cluster: nodes (kwok), kube-proxy and DNS (`proxy`, `/etc/hosts`), cert-manager,
//! metrics-server, MongoDB and its exporter, Loki, Alloy, Falco, Envoy and the shop's own images. All pods share one network
//! namespace, so that a container's `:PORT` becomes its pod's address and its `127.0.0.1` an address of 127/8 that is the pod's
//! own ([`program`]).

pub mod apply;
pub mod certificates;
pub mod chart;
pub mod charts;
pub mod connections;
pub mod control;
pub mod databases;
pub mod http;
pub mod kubelet;
pub mod listeners;
pub mod load;
pub mod metrics_server;
pub mod network;
pub mod objects;
mod program;
pub mod progress;
pub mod prometheus;
pub mod proxy;
pub mod root;
pub mod shop;
pub mod simulated;
pub mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::control_plane::Api;
use crate::tools;
use apply::Environment;
use control::ControlPlaneProcesses;
use kubelet::Kubelet;
use progress::Progress;

/// What is started, and how to get it.
pub const NEEDED: &[(&str, &str)] = &[
    ("unshare", "install util-linux"),
    ("setpriv", "install util-linux"),
    ("gzip", "install gzip"),
    ("ip", "install iproute2"),
    ("kubectl", "install kubectl"),
    ("mariadbd", "install mariadb-server"),
    ("mariadb", "install mariadb-client"),
    ("mariadb-install-db", "install mariadb-server"),
    ("redis-server", "install redis-server"),
    ("nginx", "install nginx"),
    ("kwok", tools::HOW),
    ("kwok-stages.yaml", tools::HOW),
    ("operator", tools::HOW),
    ("adapter", tools::HOW),
    ("controller", tools::HOW),
    ("prometheus", tools::HOW),
    ("mysqld_exporter", tools::HOW),
    ("redis_exporter", tools::HOW),
    ("nginx-prometheus-exporter", tools::HOW),
];

/// Why it cannot run here.
///
/// # Errors
/// Something is missing; what, and how to get it.
pub fn is_possible() -> Result<(), String> {
    for (name, how) in NEEDED {
        tools::find(name, how)?;
    }
    let assets = crate::control_plane::assets()?;
    if !assets.join("kube-scheduler").is_file() {
        return Err("no kube-scheduler: `just cluster-assets` builds it with Go".to_owned());
    }
    crate::control_plane::kinds::crds()?;
    crate::namespace::arguments().map(|_| ())
}

/// The platform, running. It ends with the namespace that it runs in.
pub struct Platform {
    /// The API, as an administrator.
    pub api: Api,
    /// What is deployed.
    pub environment: Environment,
    /// etcd, the API server and what else makes the control plane.
    pub control: ControlPlaneProcesses,
    /// What runs the containers.
    pub kubelet: Arc<Kubelet>,
    /// Where everything writes to; memory, and gone with the namespace.
    pub folder: PathBuf,
    /// What is said meanwhile.
    pub progress: Progress,
}

impl Platform {
    /// Starts the control plane and what plays the cluster's other parts; nothing is deployed yet.
    ///
    /// # Errors
    /// A part does not start; what it said.
    pub async fn start(environment: &str, progress: Progress) -> anyhow::Result<Self> {
        network::prepare()?;
        let folder = Path::new("/run/pratique").to_path_buf();
        std::fs::create_dir_all(&folder)?;
        progress.step("a network with loopback alone");
        let environment = Environment::read(environment)?;
        let control = ControlPlaneProcesses::start(&folder).await?;
        let api = control.api.clone();
        progress.step("etcd, API server, controllers, scheduler");
        let kubelet = Arc::new(Kubelet::new(api.clone(), &folder)?);
        control.start_nodes(&api, &folder).await?;
        progress.step("nodes");
        tokio::spawn(kubelet.clone().run());
        tokio::spawn(certificates::issue(api.clone()));
        Ok(Platform { api, environment, control, kubelet, folder, progress })
    }

    /// Deploys all Applications, wave by wave.
    ///
    /// # Errors
    /// Something is not admitted, or does not become ready.
    pub async fn deploy(&self) -> anyhow::Result<()> {
        charts::kinds(&self.api).await?;
        self.progress.step("the kinds");
        for (wave, applications) in self.environment.waves() {
            for application in &applications {
                let applied = apply::until_applied(&self.api, &application.objects).await;
                applied.with_context(|| format!("wave {wave}: {}", application.name))?;
                self.progress.step(&format!("wave {wave}: {}", application.name));
            }
            charts::of_wave(&self.api, wave).await.with_context(|| format!("charts of wave {wave}"))?;
            apply::until_running(&self.api, &applications).await?;
            if wave == charts::ADMISSION {
                self.kubelet.until_started("pratique", "webhook").await?;
                self.progress.step("the webhook is asked");
            }
        }
        Ok(())
    }
}
