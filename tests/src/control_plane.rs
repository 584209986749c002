//! A control plane of Kubernetes on loopback: etcd, kube-apiserver and kube-controller-manager, started for this test.

mod api;
pub mod kinds;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

pub use api::{Api, ApiResponse};

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
pub struct ChildProcess(pub(crate) Child);

impl ChildProcess {
    /// Starts a program; what it says goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        ChildProcess::of(command).with_context(|| program.display().to_string())
    }

    /// Starts what is to be ended by this, but does not die with the test by itself.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn of(command: Command) -> anyhow::Result<Self> {
        Ok(ChildProcess(spawned(command)?))
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

impl Drop for ChildProcess {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The control plane. It ends with this, and its folder goes.
pub struct ControlPlane {
    /// In the order in which they are to end: the API server is the first, or the second where there are controllers.
    processes: Vec<ChildProcess>,
    folder: PathBuf,
    /// The API server's program, its arguments, and the port that it listens on.
    server: (PathBuf, Vec<String>, u16),
    /// How it is called.
    pub api: Api,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.processes.clear();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl ControlPlane {
    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// It is not; what the API server said.
    pub async fn start(assets: &Path) -> anyhow::Result<Self> {
        let mut plane = ControlPlane::without_controllers(assets).await?;
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
        let manager = ChildProcess::start(&assets.join("kube-controller-manager"), &manager, &log)?;
        plane.processes.insert(0, manager);
        Ok(plane)
    }

    /// The same without what makes pods of workloads.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
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
        let processes = vec![ChildProcess::start(&assets.join("etcd"), &store, &file("etcd.log"))?];
        let server = (assets.join("kube-apiserver"), server.to_vec(), secure);
        let mut plane = ControlPlane { processes, folder, server, api: Api::nowhere() };
        plane.start_server().await?;
        Ok(plane)
    }

    /// Starts the API server, again where it was stopped, and waits until it is ready.
    ///
    /// # Errors
    /// It is not; what it said.
    pub async fn start_server(&mut self) -> anyhow::Result<()> {
        let (program, arguments, port) = self.server.clone();
        let running = ChildProcess::start(&program, &arguments, &self.folder.join("apiserver.log"))?;
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
                && let Ok(api) = Api::at(&format!("127.0.0.1:{port}"), &pem, TOKEN, &self.folder)
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
