//! Is every connection that is seen one that the map of the manifests allows?

use std::collections::BTreeSet;
use std::sync::PoisonError;

use anyhow::{Context as _, ensure};
use conformance::platform::connections::Seen;
use conformance::platform::kubelet::Name;
use conformance::platform::objects::{ports, text, workload};
use conformance::platform::prometheus::PrometheusClient;
use conformance::root;
use serde_json::Value;

use crate::fixture::PlatformFixture;

/// Who called whom on which port, by the names of the map: `shop/api[Deployment]`, `{api-server}`.
pub(crate) type ObservedFlow = (String, String, u16);

/// From where on a port is one that a caller was given: nobody listens there (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;
/// How the map calls the API server.
const API_SERVER: &str = "{api-server}";

/// What the map calls a pod. Those of the charts go under the names that `connectivity.yaml` gives them, by their labels.
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

/// The flows of what processes hold: to pods, also by way of a Service, and to the API server.
pub(crate) fn of(
    seen: &Seen,
    control: &[(&'static str, u32)],
    containers: &[(Name, u32)],
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
        // One that was taken has a port at the other end that nobody listens on.
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

/// The flows that are meant, which a test holds to be those that the map computes: who, to whom, on which TCP ports.
fn intended() -> anyhow::Result<BTreeSet<ObservedFlow>> {
    let text = std::fs::read_to_string(root().join("manifests/connectivity.yaml"))?;
    let file = conformance::yaml(&text)?.remove(0);
    let mut flows = BTreeSet::new();
    for line in file["flows"].as_array().into_iter().flatten() {
        let line = line.as_str().context("a flow is a line")?;
        let (from, rest) = line.split_once(" => ").context("a flow has an arrow")?;
        let (to, ports) = rest.split_once(" : ").context("a flow has ports")?;
        let tcp = ports.split("UDP").next().unwrap_or_default().trim_start_matches("TCP ");
        for port in tcp.split(',').filter_map(|port| port.trim().parse().ok()) {
            flows.insert((from.to_owned(), to.to_owned(), port));
        }
    }
    Ok(flows)
}

impl PlatformFixture {
    /// Every connection that was seen since it is up, and every target that Prometheus scrapes.
    pub(crate) async fn every_connection_is_allowed(&mut self) -> anyhow::Result<()> {
        let mut seen = self.flows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (pods, _) = self.platform.kubelet.seen();
        for target in PrometheusClient(&self.platform.kubelet).targets().await? {
            let (ip, port) = target.address.split_once(':').context("an address has a port")?;
            let pod =
                pods.iter().find(|pod| text(pod, "/status/podIP") == ip).context("a target is a pod")?;
            seen.insert(("monitoring/prometheus[StatefulSet]".to_owned(), called(pod), port.parse()?));
        }
        let intended = intended()?;
        let beside: Vec<&ObservedFlow> =
            seen.iter().filter(|flow| !intended.contains(flow) && !is_of_the_test(flow)).collect();
        ensure!(beside.is_empty(), "seen, and not allowed by the map: {beside:?}");
        for wanted in [
            ("monitoring/prometheus-adapter[Deployment]", "monitoring/prometheus[StatefulSet]", 9090),
            (API_SERVER, "monitoring/prometheus-adapter[Deployment]", 6443),
            (API_SERVER, "pratique/webhook[Deployment]", 8443),
            ("pratique/webhook[Deployment]", API_SERVER, 6443),
            ("monitoring/prometheus[StatefulSet]", "mysql/mysql[StatefulSet]", 9104),
            ("monitoring/prometheus[StatefulSet]", API_SERVER, 6443),
        ] {
            let flow = (wanted.0.to_owned(), wanted.1.to_owned(), wanted.2);
            ensure!(seen.contains(&flow), "never seen: {flow:?} among {seen:?}");
        }
        Ok(())
    }
}

/// What is seen for the test's own sake: the API server asks the stand-in for metrics-server, which is not of this set, and the
/// test's own cache is scraped.
fn is_of_the_test((_, to, _): &ObservedFlow) -> bool {
    to.starts_with("kube-system/metrics-server") || to.starts_with("shop/redis")
}
