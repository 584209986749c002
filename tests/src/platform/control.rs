//! A full control plane: certificates, API aggregation, ServiceAccounts, controllers, a scheduler, and nodes that kwok
//! simulates.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use serde_json::json;

use super::network::{API_SERVER, PODS, SERVICES};
use crate::control_plane::{self, Api, ChildProcess};
use crate::serving::until;
use crate::tools;

const PATIENCE: Duration = Duration::from_secs(120);
const ADMIN: &str = "admin";
const MANAGER: &str = "manager";
const SCHEDULER: &str = "scheduler";
/// The number of nodes. Spreading pods over hostnames needs at least three.
pub const NODES: usize = 4;

/// The processes of the control plane.
pub struct ControlPlaneProcesses {
    pub api: Api,
    folder: PathBuf,
    processes: Mutex<Vec<(&'static str, ChildProcess)>>,
}

impl ControlPlaneProcesses {
    /// Starts everything except the nodes, and waits until pods can be created.
    ///
    /// # Errors
    /// A part does not start; the error contains its log.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let assets = control_plane::assets().map_err(anyhow::Error::msg)?;
        let files = ControlPlaneFiles::write(folder)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let etcd = vec![
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", at("etcd")),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=default=http://127.0.0.1:2380".to_owned(),
        ];
        let mut processes =
            vec![("etcd", ChildProcess::start(&assets.join("etcd"), &etcd, &folder.join("etcd.log"))?)];
        let server = server_arguments(folder);
        let log = folder.join("apiserver.log");
        processes
            .push(("kube-apiserver", ChildProcess::start(&assets.join("kube-apiserver"), &server, &log)?));
        let api = Api::at(&format!("{API_SERVER}:6443"), files.authority.as_bytes(), ADMIN, folder)?;
        let since = Instant::now();
        while !matches!(api.get("/readyz").await, Ok(answer) if answer.status == 200) {
            let ended = processes.iter_mut().any(|(_, running)| !running.is_alive());
            if ended || since.elapsed() > PATIENCE {
                bail!("the API server is not ready: {}", tail(&log));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let common = |who: &str, port: u16| -> anyhow::Result<Vec<String>> {
            let file = api.kubeconfig_of(who, &format!("{who}.kubeconfig"))?.display().to_string();
            Ok(vec![
                format!("--kubeconfig={file}"),
                format!("--authentication-kubeconfig={file}"),
                format!("--authorization-kubeconfig={file}"),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={port}"),
            ])
        };
        let mut manager = common(MANAGER, 10257)?;
        manager.extend([
            format!("--service-account-private-key-file={}", at("accounts.key")),
            format!("--root-ca-file={}", at("ca.crt")),
            "--use-service-account-credentials=true".to_owned(),
            // Shorter than the default of 15 s. The autoscalers' `behavior` still determines how fast they scale.
            "--horizontal-pod-autoscaler-sync-period=3s".to_owned(),
        ]);
        let log = folder.join("controllers.log");
        let manager = ChildProcess::start(&assets.join("kube-controller-manager"), &manager, &log)?;
        processes.push(("kube-controller-manager", manager));
        let log = folder.join("scheduler.log");
        let scheduler =
            ChildProcess::start(&assets.join("kube-scheduler"), &common(SCHEDULER, 10259)?, &log)?;
        processes.push(("kube-scheduler", scheduler));
        until("the default service account exists", || async {
            Ok(api.get("/api/v1/namespaces/default/serviceaccounts/default").await?.status == 200)
        })
        .await?;
        Ok(ControlPlaneProcesses { api, folder: folder.to_owned(), processes: Mutex::new(processes) })
    }

    /// Starts kwok and creates the nodes.
    ///
    /// # Errors
    /// The nodes do not become ready.
    pub async fn start_nodes(&self, api: &Api, folder: &Path) -> anyhow::Result<()> {
        let find = |name| tools::find(name, tools::HOW).map_err(anyhow::Error::msg);
        let arguments = vec![
            format!("--kubeconfig={}", api.kubeconfig.display()),
            format!("--config={}", find("kwok-stages.yaml")?.display()),
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
            format!("--cidr={PODS}"),
            "--node-ip=10.20.0.16".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            "--server-address=127.0.0.1:10247".to_owned(),
        ];
        let running = ChildProcess::start(&find("kwok")?, &arguments, &folder.join("kwok.log"))?;
        self.processes.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.push(("kwok", running));
        for number in 0..NODES {
            let name = format!("node-{number}");
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                    "topology.kubernetes.io/zone": format!("zone-{}", number % 2)}},
                "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"},
                    "capacity": {"cpu": "64", "memory": "256Gi", "pods": "250"}}});
            api.post("/api/v1/nodes", &node).await?.well()?;
        }
        let disk = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "kwok-volume", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kwok.x-k8s.io/volume", "volumeBindingMode": "Immediate"});
        api.post("/apis/storage.k8s.io/v1/storageclasses", &disk).await?.well()?;
        until("the nodes are ready", || async {
            let nodes = api.get("/api/v1/nodes").await?.well()?;
            let ready = |node: &serde_json::Value| {
                let conditions = node["status"]["conditions"].as_array();
                conditions
                    .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
            };
            Ok(nodes["items"].as_array().is_some_and(|items| items.iter().all(ready)))
        })
        .await
    }

    /// The process IDs, by name.
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let processes = self.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        processes.iter().map(|(name, running)| (*name, running.pid())).collect()
    }

    /// Checks that no process of the control plane has ended.
    ///
    /// # Errors
    /// A process has ended; the error contains its log.
    pub fn is_well(&self) -> anyhow::Result<()> {
        let mut processes = self.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, running) in processes.iter_mut() {
            if !running.is_alive() {
                let log = match *name {
                    "kube-apiserver" => "apiserver",
                    "kube-controller-manager" => "controllers",
                    "kube-scheduler" => "scheduler",
                    name => name,
                };
                bail!("{name} has ended: {}", tail(&self.folder.join(log).with_extension("log")));
            }
        }
        Ok(())
    }
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let content = std::fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<&str> = content.lines().rev().take(15).collect();
    lines.reverse();
    lines.join("\n")
}

fn server_arguments(folder: &Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--bind-address={API_SERVER}"),
        format!("--advertise-address={API_SERVER}"),
        format!("--tls-cert-file={}", at("apiserver.crt")),
        format!("--tls-private-key-file={}", at("apiserver.key")),
        format!("--client-ca-file={}", at("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", at("accounts.pub")),
        format!("--service-account-signing-key-file={}", at("accounts.key")),
        format!("--token-auth-file={}", at("tokens")),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--requestheader-client-ca-file={}", at("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", at("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", at("front-proxy-client.key")),
    ]
}

/// The files that the processes read.
struct ControlPlaneFiles {
    authority: String,
}

impl ControlPlaneFiles {
    fn write(folder: &Path) -> anyhow::Result<Self> {
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).with_context(|| name.to_owned())
        };
        let authority = authority("kubernetes")?;
        write("ca.crt", authority.pem())?;
        let mut server = CertificateParams::new(vec![
            "kubernetes.default.svc".to_owned(),
            "kubernetes.default".to_owned(),
            "localhost".to_owned(),
        ])?;
        for address in [API_SERVER, "10.96.0.1", "127.0.0.1"] {
            server.subject_alt_names.push(SanType::IpAddress(address.parse()?));
        }
        let key = KeyPair::generate()?;
        write("apiserver.crt", server.signed_by(&key, &authority)?.pem())?;
        write("apiserver.key", key.serialize_pem())?;
        let front = self::authority("front-proxy")?;
        write("front-proxy-ca.crt", front.pem())?;
        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::CommonName, "front-proxy-client");
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        write("front-proxy-client.crt", client.signed_by(&key, &front)?.pem())?;
        write("front-proxy-client.key", key.serialize_pem())?;
        let accounts = KeyPair::generate()?;
        write("accounts.key", accounts.serialize_pem())?;
        write("accounts.pub", accounts.public_key_pem())?;
        let tokens = format!(
            "{ADMIN},admin,1,\"system:masters\"\n{MANAGER},system:kube-controller-manager,2\n{SCHEDULER},system:kube-scheduler,3\n"
        );
        write("tokens", tokens)?;
        Ok(ControlPlaneFiles { authority: authority.pem() })
    }
}

/// Creates a CA with this name.
///
/// # Errors
/// The CA cannot be created.
pub fn authority(name: &str) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?)
}
