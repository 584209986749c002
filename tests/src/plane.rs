//! A control plane of Kubernetes on loopback: etcd, kube-apiserver and kube-controller-manager, started for this test.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use policy_core::{Arena, Field};
use serde_json::{Value, json};

use crate::serving::until;

const TOKEN: &str = "test";
/// Controllers are who they are in a cluster: what they make is believed to be theirs.
const MANAGER: &str = "manager";
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder with the binaries: KUBEBUILDER_ASSETS, or what `just cluster-assets` has built.
///
/// # Errors
/// There is none; the reason, and what to do.
pub fn assets() -> Result<PathBuf, String> {
    let built = crate::root().join("target/control-plane");
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map_or(built, PathBuf::from);
    let missing: Vec<&str> = ["etcd", "kube-apiserver", "kube-controller-manager"]
        .into_iter()
        .filter(|binary| !folder.join(binary).is_file())
        .collect();
    match missing.is_empty() {
        true => Ok(folder),
        false => Err(format!(
            "no {}: `just cluster-assets` builds them with Go, or name their folder in KUBEBUILDER_ASSETS",
            missing.join(", ")
        )),
    }
}

/// A process that ends with what holds it, or with the test however that ends.
pub struct Running(pub(crate) Child);

impl Running {
    /// Starts a program; what it says goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Running::of(command).with_context(|| program.display().to_string())
    }

    /// Starts what is to be ended by this, but does not die with the test by itself.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn of(command: Command) -> anyhow::Result<Self> {
        Ok(Running(spawned(command)?))
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// Starts a process from a thread that lives as long as this one does: what is to die with its parent dies with the thread that
/// made it, and those of trials end before the others have run.
fn spawned(command: Command) -> anyhow::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, made) in taken {
                drop(made.send(command.spawn()));
            }
        });
        Mutex::new(orders)
    });
    let (made, child) = mpsc::channel();
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, made))?;
    Ok(child.recv()??)
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The control plane. It ends with this, and its folder goes.
pub struct Plane {
    /// In the order in which they are to end: the API server is the first, or the second where there are controllers.
    processes: Vec<Running>,
    folder: PathBuf,
    /// The API server's program, its arguments, and the port that it listens on.
    server: (PathBuf, Vec<String>, u16),
    /// How it is called.
    pub api: Api,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.processes.clear();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Plane {
    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// It is not; what the API server said.
    pub async fn start(assets: &Path) -> anyhow::Result<Self> {
        let mut plane = Plane::without_controllers(assets).await?;
        let manager = plane.api.kubeconfig_of(MANAGER, "manager.kubeconfig")?;
        let manager = manager.display();
        let [controllers] = free_ports()?;
        let manager = [
            format!("--kubeconfig={manager}"),
            format!("--authentication-kubeconfig={manager}"),
            format!("--authorization-kubeconfig={manager}"),
            format!("--service-account-private-key-file={}", plane.folder.join("accounts.key").display()),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={controllers}"),
        ];
        let log = plane.folder.join("controllers.log");
        let manager = Running::start(&assets.join("kube-controller-manager"), &manager, &log)?;
        plane.processes.insert(0, manager);
        Ok(plane)
    }

    /// The same without what makes pods of workloads.
    ///
    /// # Errors
    /// As [`Plane::start`].
    pub async fn without_controllers(assets: &Path) -> anyhow::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pratique-cluster-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = |name: &str| folder.join(name);
        let text = |path: &Path| path.display().to_string();
        let ports = free_ports()?;
        let [etcd, peers, secure] = ports;
        std::fs::write(
            file("tokens"),
            format!("{TOKEN},admin,1,\"system:masters\"\n{MANAGER},system:kube-controller-manager,2\n"),
        )?;
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(file("accounts.key"), key.serialize_pem())?;
        std::fs::write(file("accounts.pub"), key.public_key_pem())?;
        let (etcd, peers) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let store = [
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", text(&file("etcd"))),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
        ];
        let server = [
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={secure}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", text(&file("certificates"))),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", text(&file("accounts.pub"))),
            format!("--service-account-signing-key-file={}", text(&file("accounts.key"))),
            format!("--token-auth-file={}", text(&file("tokens"))),
            "--authorization-mode=RBAC".to_owned(),
            // Or it forbids itself what policies are to deny.
            "--allow-privileged=true".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let processes = vec![Running::start(&assets.join("etcd"), &store, &file("etcd.log"))?];
        let server = (assets.join("kube-apiserver"), server.to_vec(), secure);
        let mut plane = Plane { processes, folder, server, api: Api::nowhere() };
        plane.start_server().await?;
        Ok(plane)
    }

    /// Starts the API server, again where it was stopped, and waits until it is ready.
    ///
    /// # Errors
    /// It is not; what it said.
    pub async fn start_server(&mut self) -> anyhow::Result<()> {
        let (program, arguments, port) = self.server.clone();
        let running = Running::start(&program, &arguments, &self.folder.join("apiserver.log"))?;
        let before_the_store = self.processes.len() - 1;
        self.processes.insert(before_the_store, running);
        self.api = self.ready(port).await?;
        Ok(())
    }

    /// Kills the API server.
    pub fn stop_server(&mut self) {
        let server = self.processes.len() - 2;
        drop(self.processes.remove(server));
    }

    /// Waits until the API server is ready, and gives a way to call it.
    async fn ready(&mut self, port: u16) -> anyhow::Result<Api> {
        let certificate = self.folder.join("certificates/apiserver.crt");
        let since = Instant::now();
        loop {
            if let Ok(pem) = std::fs::read(&certificate)
                && let Ok(api) = Api::new(port, &pem, &self.folder)
                && let Ok(answer) = api.get("/readyz").await
                && answer.status == 200
            {
                return Ok(api);
            }
            let ended = self.processes.iter_mut().any(|running| !matches!(running.0.try_wait(), Ok(None)));
            if ended || since.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.folder.join("apiserver.log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(15).collect();
                bail!("the API server is not ready: {}", lines.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Ports that nobody listens on.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

/// The API, as an administrator.
#[derive(Clone)]
pub struct Api {
    client: Option<Client>,
    /// A kubeconfig for it.
    pub kubeconfig: PathBuf,
}

/// What the API server answers.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    /// The body of what went well.
    pub fn well(self) -> anyhow::Result<Value> {
        ensure!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// Why it was refused by a webhook.
    pub fn refused(self) -> anyhow::Result<String> {
        let message = self.body["message"].as_str().unwrap_or_default().to_owned();
        let is_ours = message.contains("admission webhook") && message.contains("denied the request: ");
        ensure!(self.status == 403 && is_ours, "{}: {}", self.status, self.body);
        Ok(message)
    }
}

impl Api {
    fn nowhere() -> Self {
        Api { client: None, kubeconfig: PathBuf::new() }
    }

    fn new(port: u16, certificate: &[u8], folder: &Path) -> anyhow::Result<Self> {
        Api::at(&format!("127.0.0.1:{port}"), certificate, TOKEN, folder)
    }

    /// The API at an address, which shows a certificate of this authority, for whom a token stands. A kubeconfig is written to the
    /// folder.
    ///
    /// # Errors
    /// It is no certificate, or the folder cannot be written.
    pub fn at(address: &str, certificate: &[u8], token: &str, folder: &Path) -> anyhow::Result<Self> {
        let base64 = base64::engine::general_purpose::STANDARD.encode(certificate);
        let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": base64});
        let kubeconfig = folder.join("kubeconfig");
        write_kubeconfig(&kubeconfig, &cluster, token)?;
        let mut config = Config::new(format!("https://{address}").parse()?);
        let pems = x509(certificate)?;
        config.root_cert = Some(pems);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(Api { client: Some(Client::try_from(config)?), kubeconfig })
    }

    /// A kubeconfig beside the administrator's, with another token.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_of(&self, token: &str, name: &str) -> anyhow::Result<PathBuf> {
        let admin: Value = serde_json::from_slice(&std::fs::read(&self.kubeconfig)?)?;
        let path = self.kubeconfig.with_file_name(name);
        write_kubeconfig(&path, &admin["clusters"][0]["cluster"], token)?;
        Ok(path)
    }

    /// A client for typed objects.
    ///
    /// # Errors
    /// It is not started.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client.clone().context("it is started")
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> anyhow::Result<Answer> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(Body::from(body))?;
        let response = self.client()?.send(request).await?;
        let status = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), warnings })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, Vec::new(), "application/json").await
    }

    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Answer> {
        self.call(Method::POST, path, object.to_string().into_bytes(), "application/json").await
    }

    pub async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<Answer> {
        let kind = "application/strategic-merge-patch+json";
        self.call(Method::PATCH, path, patch.to_string().into_bytes(), kind).await
    }

    /// A merge patch, of an object or of a subresource.
    pub async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<Answer> {
        let kind = "application/merge-patch+json";
        self.call(Method::PATCH, path, patch.to_string().into_bytes(), kind).await
    }

    /// Server-side apply, with strict field validation.
    pub async fn apply(&self, path: &str, object: &Value, dry_run: bool) -> anyhow::Result<Answer> {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager=test&fieldValidation=Strict&force=true{dry_run}");
        self.call(Method::PATCH, &path, object.to_string().into_bytes(), "application/apply-patch+yaml").await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::DELETE, path, Vec::new(), "application/json").await
    }
}

fn write_kubeconfig(path: &Path, cluster: &Value, token: &str) -> anyhow::Result<()> {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": token}}]});
    Ok(std::fs::write(path, config.to_string())?)
}

/// The certificates in a PEM file, as DER.
fn x509(pem: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// The path of an object in the API.
///
/// # Errors
/// It is no object.
pub fn path(object: &Value) -> anyhow::Result<String> {
    let arena = Arena::new();
    let text = object.to_string();
    let value = policy_core::Value::from_json(arena.bytes(text.as_bytes()), &arena)?;
    let request = policy_core::Request::create(Field::root(value, &arena), "default")?;
    let (kind, resource) = (request.kind, request.resource.name);
    let group = match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let namespace = match request.namespace {
        "" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    Ok(format!("{group}{namespace}/{resource}/{}", request.name))
}

/// The folder with the CustomResourceDefinitions that the manifests need.
///
/// # Errors
/// There is none; the reason, and what to do.
pub fn crds() -> Result<PathBuf, String> {
    let folder = std::env::var_os("CRDS").map_or_else(|| crate::root().join("../shared/crds"), PathBuf::from);
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(format!(
            "no CustomResourceDefinitions in {}: name the folder of your own in CRDS",
            folder.display()
        )),
    }
}

/// Makes the kinds of `../shared/crds` (or of the folder CRDS), and further ones that are not among them, and waits until the API
/// server serves them.
///
/// # Errors
/// One is not taken.
pub async fn define(api: &Api, further: Vec<Value>) -> anyhow::Result<()> {
    let folder = crds().map_err(anyhow::Error::msg)?;
    let mut kinds: Vec<Value> = Vec::new();
    for file in std::fs::read_dir(&folder)? {
        let objects = crate::yaml(&std::fs::read_to_string(file?.path())?)?;
        kinds.extend(objects.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition"));
    }
    ensure!(kinds.len() > 20, "only {} CustomResourceDefinitions are in {}", kinds.len(), folder.display());
    for kind in further {
        if kinds.iter().all(|known| known["metadata"]["name"] != kind["metadata"]["name"]) {
            kinds.push(kind);
        }
    }
    for kind in &kinds {
        let at = path(kind)?;
        api.apply(&at, kind, false).await?.well().with_context(|| at.clone())?;
    }
    for kind in &kinds {
        let at = path(kind)?;
        until("a kind is established", || async {
            let conditions = api.get(&at).await?.body["status"]["conditions"].clone();
            let is_so = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            Ok(conditions.as_array().is_some_and(|all| all.iter().any(is_so)))
        })
        .await?;
    }
    Ok(())
}
