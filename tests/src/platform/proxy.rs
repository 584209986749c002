//! Simulates kube-proxy and the DNS: listens on each port of each Service and forwards to its pods, and writes a hosts file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::network::API_SERVER;
use super::objects::{ports, text};

/// The backends of each Service address.
pub type Routes = BTreeMap<SocketAddr, Vec<SocketAddr>>;

/// The listeners.
#[derive(Default)]
pub struct Proxy {
    routes: Arc<Mutex<Routes>>,
    listening: Mutex<BTreeMap<SocketAddr, tokio::task::JoinHandle<()>>>,
    /// Notified when all connections must be closed.
    cut: Arc<Notify>,
}

impl Proxy {
    /// Closes every connection, so that clients must connect again.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Replaces the routes, and adds and removes listeners accordingly.
    pub async fn route(&self, routes: Routes) {
        let addresses: Vec<SocketAddr> = routes.keys().copied().collect();
        *self.routes.lock().unwrap_or_else(PoisonError::into_inner) = routes;
        let new: Vec<SocketAddr> = {
            let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            listening.retain(|address, task| {
                let stays = addresses.contains(address);
                if !stays {
                    task.abort();
                }
                stays
            });
            addresses.into_iter().filter(|address| !listening.contains_key(address)).collect()
        };
        for address in new {
            let Ok(listener) = TcpListener::bind(address).await else { continue };
            let task = tokio::spawn(accept(listener, address, self.routes.clone(), self.cut.clone()));
            self.listening.lock().unwrap_or_else(PoisonError::into_inner).insert(address, task);
        }
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, routes: Arc<Mutex<Routes>>, cut: Arc<Notify>) {
    let mut next = 0usize;
    while let Ok((mut from, _)) = listener.accept().await {
        let behind =
            routes.lock().unwrap_or_else(PoisonError::into_inner).get(&address).cloned().unwrap_or_default();
        next = next.wrapping_add(1);
        let Some(to) = behind.get(next.checked_rem(behind.len()).unwrap_or_default()).copied() else {
            continue;
        };
        let cut = cut.clone();
        tokio::spawn(async move {
            if let Ok(mut to) = TcpStream::connect(to).await {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                    () = cut.notified() => {}
                }
            }
        });
    }
}

/// The routes of Services to their ready pods, and the hosts file with the names that the DNS would resolve.
pub fn of(services: &[Value], pods: &[Value]) -> (Routes, String) {
    let mut routes = Routes::new();
    let mut names = String::from("127.0.0.1 localhost\n");
    for service in services {
        let (namespace, name) = (text(service, "/metadata/namespace"), text(service, "/metadata/name"));
        let behind: Vec<&Value> = pods.iter().filter(|pod| is_behind(service, pod)).collect();
        let cluster_ip = text(service, "/spec/clusterIP");
        let called =
            format!("{name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace}");
        if cluster_ip == "None" {
            for pod in &behind {
                let (ip, pod) = (text(pod, "/status/podIP"), text(pod, "/metadata/name"));
                names.push_str(&format!("{ip} {called} {pod}.{name}.{namespace}.svc.cluster.local\n"));
            }
            continue;
        }
        names.push_str(&format!("{cluster_ip} {called}\n"));
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let number = |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok());
            let named = |pod| ports(pod).find(|(name, _)| port["targetPort"] == *name).map(|(_, own)| own);
            let Some(own) = number(&port["port"]) else { continue };
            let Ok(address) = format!("{cluster_ip}:{own}").parse() else { continue };
            let to = behind.iter().filter_map(|pod| {
                let target = number(&port["targetPort"]).or_else(|| named(pod))?;
                format!("{}:{target}", text(pod, "/status/podIP")).parse().ok()
            });
            let mut to: Vec<SocketAddr> = to.collect();
            if (namespace, name) == ("default", "kubernetes") {
                to = format!("{API_SERVER}:6443").parse().into_iter().collect();
            }
            routes.insert(address, to);
        }
    }
    (routes, names)
}

/// Whether a pod is ready and matches the Service's selector.
fn is_behind(service: &Value, pod: &Value) -> bool {
    let selector = service["spec"]["selector"].as_object();
    let conditions = pod["status"]["conditions"].as_array();
    let is_ready =
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    is_ready
        && pod["metadata"]["deletionTimestamp"].is_null()
        && pod["metadata"]["namespace"] == service["metadata"]["namespace"]
        && selector
            .is_some_and(|wanted| wanted.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value))
}
