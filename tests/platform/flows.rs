//! Every observed connection is one that the manifests' connectivity map allows.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use anyhow::{Context as _, ensure};
use conformance::platform::connections::Seen;
use conformance::platform::kubelet::ContainerName;
use conformance::platform::objects::{ports, text, workload};
use conformance::platform::prometheus::PrometheusClient;
use conformance::root;
use serde_json::Value;

use crate::fixture::PlatformFixture;

/// Source, destination and port of a connection. Endpoints have the map's names: `shop/api[Deployment]`, `{api-server}`.
pub(crate) type ObservedFlow = (String, String, u16);

/// The first ephemeral port (`ip_local_port_range`). No server listens on a port from here on.
const EPHEMERAL: u16 = 32768;
/// The map's name of the API server.
const API_SERVER: &str = "{api-server}";

/// The map's name of a pod. Pods of Helm charts have the names that `connectivity.yaml` gives them, by their labels.
fn called(pod: &Value) -> String {
    let label = text(pod, "/metadata/labels/app.kubernetes.io~1name");
    let namespace = text(pod, "/metadata/namespace");
    match (namespace, label) {
        ("monitoring", "prometheus") => return "monitoring/prometheus[StatefulSet]".to_owned(),
        ("monitoring", "kube-prometheus-stack-prometheus-operator") => {
            return "monitoring/prometheus-operator[Deployment]".to_owned();
        }
        ("sealed-secrets", _) => return "sealed-secrets/sealed-secrets[Deployment]".to_owned(),
        ("gateway", _) => return "gateway/public[Gateway]".to_owned(),
        _ => {}
    }
    let (kind, name) = workload(pod);
    format!("{namespace}/{name}[{kind}]")
}

/// The flows of the processes' connections: to pods, directly or through a Service, and to the API server.
pub(crate) fn of(
    seen: &Seen,
    control: &[(&'static str, u32)],
    containers: &[(ContainerName, u32)],
    pods: &[Value],
    services: &[Value],
) -> BTreeSet<ObservedFlow> {
    let mut flows = BTreeSet::new();
    for (pid, remote) in seen {
        let from = match containers.iter().find(|(_, own)| own == pid) {
            Some(((namespace, pod, _), _)) => {
                let is_it = |p: &&Value| {
                    text(p, "/metadata/namespace") == namespace && text(p, "/metadata/name") == pod
                };
                let Some(pod) = pods.iter().find(is_it) else { continue };
                called(pod)
            }
            None if control.contains(&("kube-apiserver", *pid)) => API_SERVER.to_owned(),
            None => continue,
        };
        let ip = remote.ip().to_string();
        // For an accepted connection, the remote port is not declared by any container.
        let declares = |pod: &&Value| ports(pod).any(|(_, own)| own == remote.port());
        if let Some(pod) = pods.iter().find(|pod| text(pod, "/status/podIP") == ip && declares(pod)) {
            flows.insert((from, called(pod), remote.port()));
        } else if ip.starts_with("10.244.") && remote.port() < EPHEMERAL {
            flows.insert((from, format!("{{{ip}}}"), remote.port()));
        } else if let Some(service) = services.iter().find(|service| text(service, "/spec/clusterIP") == ip) {
            let to = (text(service, "/metadata/namespace"), text(service, "/metadata/name"));
            if to == ("default", "kubernetes") {
                flows.insert((from, API_SERVER.to_owned(), 6443));
                continue;
            }
            let (routes, _) = conformance::platform::proxy::of(std::slice::from_ref(service), pods);
            for address in
                routes.into_iter().filter(|(own, _)| own.port() == remote.port()).flat_map(|(_, to)| to)
            {
                let behind = pods.iter().find(|pod| text(pod, "/status/podIP") == address.ip().to_string());
                flows.extend(behind.map(|pod| (from.clone(), called(pod), address.port())));
            }
        }
    }
    flows.retain(|(from, to, _)| from != to);
    flows
}

/// The expected flows of `connectivity.yaml`: source, destination and each TCP port. Another test compares them with the map.
fn expected() -> anyhow::Result<BTreeSet<ObservedFlow>> {
    let text = std::fs::read_to_string(root().join("manifests/connectivity.yaml"))?;
    let file = conformance::yaml(&text)?.remove(0);
    let mut flows = BTreeSet::new();
    for line in file["flows"].as_array().into_iter().flatten() {
        let line = line.as_str().context("a flow must be a string")?;
        let (from, rest) = line.split_once(" => ").context("a flow must contain ` => `")?;
        let (to, ports) = rest.split_once(" : ").context("a flow must contain ` : ` and ports")?;
        let tcp = ports.split("UDP").next().unwrap_or_default().trim_start_matches("TCP ");
        for port in tcp.split(',').filter_map(|port| port.trim().parse().ok()) {
            flows.insert((from.to_owned(), to.to_owned(), port));
        }
    }
    Ok(flows)
}

impl PlatformFixture {
    /// Checks all connections that were observed since the start, and all targets that Prometheus scrapes.
    pub(crate) async fn every_connection_is_allowed(&mut self) -> anyhow::Result<()> {
        let mut seen = self.flows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (pods, _) = self.platform.kubelet.seen();
        for target in PrometheusClient(&self.platform.kubelet).targets().await? {
            let (ip, port) = target.address.split_once(':').context("an address must have a port")?;
            let pod =
                pods.iter().find(|pod| text(pod, "/status/podIP") == ip).context("a target must be a pod")?;
            seen.insert(("monitoring/prometheus[StatefulSet]".to_owned(), called(pod), port.parse()?));
        }
        let expected = expected()?;
        let beside: Vec<&ObservedFlow> =
            seen.iter().filter(|flow| !expected.contains(flow) && !is_of_the_test(flow)).collect();
        ensure!(beside.is_empty(), "observed, but not allowed by the map: {beside:?}");
        for wanted in [
            ("monitoring/prometheus-adapter[Deployment]", "monitoring/prometheus[StatefulSet]", 9090),
            (API_SERVER, "monitoring/prometheus-adapter[Deployment]", 6443),
            (API_SERVER, "pratique/webhook[Deployment]", 8443),
            ("pratique/webhook[Deployment]", API_SERVER, 6443),
            ("monitoring/prometheus[StatefulSet]", "mysql/mysql[StatefulSet]", 9104),
            ("monitoring/prometheus[StatefulSet]", API_SERVER, 6443),
        ] {
            let flow = (wanted.0.to_owned(), wanted.1.to_owned(), wanted.2);
            ensure!(seen.contains(&flow), "not observed: {flow:?}; observed: {seen:?}");
        }
        Ok(())
    }
}

/// Flows of the test itself: the API server queries the simulated metrics-server, which is not in the manifests, and
/// Prometheus scrapes the test's own Redis.
fn is_of_the_test((_, to, _): &ObservedFlow) -> bool {
    to.starts_with("kube-system/metrics-server") || to.starts_with("shop/redis")
}
