//! Simulates a container without a program: listens on its ports and serves metrics. MySQL is not simulated here; MariaDB runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::objects::text;
use super::shop::{self, Shop};

/// The listeners of a container. They stop when this value is dropped.
#[derive(Debug)]
pub struct ContainerListeners(Vec<JoinHandle<()>>);

impl Drop for ContainerListeners {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The processes of applications, by their pods' namespace and name.
type Shops = Mutex<BTreeMap<(String, String), Arc<Shop>>>;

/// The simulated applications.
pub fn shops() -> &'static Shops {
    static SHOPS: OnceLock<Shops> = OnceLock::new();
    SHOPS.get_or_init(Mutex::default)
}

/// Listens on the TCP ports of a container.
///
/// # Errors
/// An address is in use.
pub async fn play(pod: &Value, container: &Value) -> anyhow::Result<ContainerListeners> {
    let ip = text(pod, "/status/podIP");
    let image = text(container, "/image");
    let called = image.rsplit('/').next().and_then(|name| name.split(':').next()).unwrap_or_default();
    let mut listening = ContainerListeners(Vec::new());
    // A real exporter queries MySQL on the pod's loopback, so a real server runs there (`databases`).
    if called == "mysql" {
        return Ok(listening);
    }
    let router = match called {
        "api" | "worker" => {
            let name: (String, String) =
                (text(pod, "/metadata/namespace").to_owned(), text(pod, "/metadata/name").to_owned());
            let shop =
                shops().lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone();
            shop::router(shop)
        }
        "mongodb_exporter" => {
            let first = text(pod, "/metadata/name") == "mongodb-0";
            Router::new().fallback(get(async move || member(first)))
        }
        other => plain(format!("played_info{{image=\"{other}\"}} 1\n")),
    };
    for port in container["ports"].as_array().into_iter().flatten() {
        if port["protocol"] == "UDP" {
            continue;
        }
        let address = format!("{ip}:{}", port["containerPort"]);
        let listener = tokio::net::TcpListener::bind(&address).await.with_context(|| address.clone())?;
        let router = router.clone();
        listening.0.push(tokio::spawn(async move { drop(axum::serve(listener, router).await) }));
    }
    Ok(listening)
}

/// Whether the MongoDB replica set has a primary. Tests set it.
pub static HAS_PRIMARY: AtomicBool = AtomicBool::new(true);

/// The exporter's metrics for a MongoDB member. The first member is the primary if there is one.
fn member(first: bool) -> String {
    let state = if first && HAS_PRIMARY.load(Ordering::Relaxed) { 1 } else { 2 };
    format!("mongodb_up 1\nmongodb_rs_myState {state}\n")
}

/// Serves the same metrics on every path.
fn plain(metrics: String) -> Router {
    Router::new().fallback(get(async move || metrics.clone()))
}
