//! Replaces metrics-server: reports the resource usage that a test sets.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path as Of, Query};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use webhook_server::server::Server;
use webhook_server::server::tls::Identity;

use super::kubelet::Kubelet;
use super::objects::{containers, text};

/// A container of a workload: the namespace, the prefix of the pods' names, and the container's name.
type Measured = (String, String, String);

/// The usage of containers in millicores and mebibytes. The default is 5m and 8Mi.
#[derive(Clone, Default)]
pub struct ResourceUsage(Arc<Mutex<BTreeMap<Measured, (u64, u64)>>>);

impl ResourceUsage {
    /// Sets the usage of a container from now on.
    pub fn set(&self, namespace: &str, workload: &str, container: &str, used: (u64, u64)) {
        let key = (namespace.to_owned(), format!("{workload}-"), container.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, used);
    }

    fn of(&self, namespace: &str, pod: &str, container: &str) -> (u64, u64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |((ns, prefix, name), _): &(&Measured, &(u64, u64))| {
            ns == namespace && pod.starts_with(prefix.as_str()) && name == container
        };
        all.iter().find(is_it).map_or((5, 8), |(_, used)| *used)
    }
}

/// Serves the metrics API on an address with a self-signed certificate.
///
/// # Errors
/// The address is in use.
pub fn serve(
    address: &str,
    kubelet: Arc<Kubelet>,
    used: ResourceUsage,
    folder: &Path,
) -> anyhow::Result<Server> {
    const BASE: &str = "/apis/metrics.k8s.io/v1beta1";
    let resources = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]}]});
    let list = move |Of(namespace): Of<String>, Query(query): Query<BTreeMap<String, String>>| {
        let selector = query.get("labelSelector").cloned().unwrap_or_default();
        let pods = kubelet.pods(&namespace, "");
        let items: Vec<Value> = pods
            .iter()
            .filter(|pod| is_selected(pod, &selector))
            .map(|pod| measured(pod, &namespace, &used))
            .collect();
        async move {
            json_of(
                &json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}),
            )
        }
    };
    let router = Router::new()
        .route(BASE, get(async move || json_of(&resources)))
        .route(&format!("{BASE}/namespaces/{{namespace}}/pods"), get(list));
    let (cert, key) = crate::serving::certificate(&folder.join("metrics-server"))?;
    let listener = TcpListener::bind(address)?;
    Server::start(listener, Identity::from_files(&cert, &key)?.server()?, router)
}

fn json_of(value: &Value) -> impl IntoResponse + use<> {
    ([("content-type", "application/json")], value.to_string())
}

fn measured(pod: &Value, namespace: &str, used: &ResourceUsage) -> Value {
    let name = text(pod, "/metadata/name");
    let usage = |container: &Value| {
        let (cpu, memory) = used.of(namespace, name, text(container, "/name"));
        json!({"name": container["name"], "usage": {"cpu": format!("{cpu}m"), "memory": format!("{memory}Mi")}})
    };
    let containers: Vec<Value> = containers(pod).map(usage).collect();
    json!({"metadata": {"name": name, "namespace": namespace, "labels": pod["metadata"]["labels"]},
        "timestamp": now(), "window": "1s", "containers": containers})
}

/// Whether a pod has the labels of a selector of the form `a=b,c=d`.
fn is_selected(pod: &Value, selector: &str) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        part.split_once('=')
            .is_some_and(|(key, value)| pod["metadata"]["labels"][key] == value.trim_start_matches('='))
    })
}

/// The current time in the format of Kubernetes.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
