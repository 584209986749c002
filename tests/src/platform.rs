//! The platform of `manifests`, running on loopback: a control plane, simulated nodes, and the real components,
//! configured from the manifests.
//!
//! ```text
//! namespace (only loopback) ── control: etcd, API server, controllers, scheduler; kwok simulates the nodes
//!    └─ apply: the Applications, wave by wave ──▶ stored pods ──▶ kubelet: runs the program of each container that has one,
//!         │                                                       on the pod's address; simulates the others
//!         ├─ certificates: replaces cert-manager          proxy: forwards connections to Services to their pods
//!         └─ charts: replaces the Helm charts             prometheus: replaces the config reloader
//! ```
//!
//! Simulated, and therefore different from a cluster: nodes (kwok), kube-proxy and DNS (`proxy`, `/etc/hosts`),
//! cert-manager, metrics-server, MongoDB and its exporter, Loki, Alloy, Falco, Envoy and the shop's own images. All
//! pods share one network namespace. Therefore `:PORT` of a container is rewritten to the pod's address, and
//! `127.0.0.1` to an address of 127/8 that belongs to this pod ([`program`]).

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

/// The required programs, and how to get them.
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

/// Checks that the platform can run on this machine.
///
/// # Errors
/// Something is missing; the error says how to get it.
pub fn check_available() -> Result<(), String> {
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

/// The running platform. It ends with the namespace that it runs in.
pub struct Platform {
    /// A client for the API, with administrator rights.
    pub api: Api,
    /// The environment that is deployed.
    pub environment: Environment,
    /// etcd, the API server and the other processes of the control plane.
    pub control: ControlPlaneProcesses,
    /// Runs the containers.
    pub kubelet: Arc<Kubelet>,
    /// The folder of all files. It is in memory and is gone when the namespace ends.
    pub folder: PathBuf,
    /// Reports each step on standard error.
    pub progress: Progress,
}

impl Platform {
    /// Starts the control plane and the simulated parts of the cluster. It deploys nothing yet.
    ///
    /// # Errors
    /// A part does not start; the error contains its log.
    pub async fn start(environment: &str, progress: Progress) -> anyhow::Result<Self> {
        network::prepare()?;
        let folder = Path::new("/run/pratique").to_path_buf();
        std::fs::create_dir_all(&folder)?;
        progress.step("a network with only loopback");
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
    /// An object is not admitted, or a workload does not become ready.
    pub async fn deploy(&self) -> anyhow::Result<()> {
        charts::kinds(&self.api).await?;
        self.progress.step("the CustomResourceDefinitions");
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
                self.progress.step("the webhook is running");
            }
        }
        Ok(())
    }
}
