//! A Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, started for one test.

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
/// The token of kube-controller-manager. It authenticates as the user that controllers have in a cluster.
const MANAGER: &str = "manager";
/// The time limit for a start.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder with the binaries: KUBEBUILDER_ASSETS, or the output of `just cluster-assets`.
///
/// # Errors
/// A binary is missing; the error says which one and what to do.
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

/// A process that is killed when this value is dropped, and also when the test ends for any reason.
pub struct ChildProcess(pub(crate) Child);

impl ChildProcess {
    /// Starts a program and writes its output to a log file.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        ChildProcess::of(command).with_context(|| program.display().to_string())
    }

    /// Starts a command that is killed when this value is dropped, but not when the test is killed.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn of(command: Command) -> anyhow::Result<Self> {
        Ok(ChildProcess(spawned(command)?))
    }

    /// Returns true while the process is running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// Starts a process from a thread that lives until the test program ends. PDEATHSIG fires when the thread that
/// started the process ends, and the thread of a single trial ends before the other trials have run.
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

/// A running control plane. Dropping it stops its processes and removes its folder.
pub struct ControlPlane {
    /// In the order in which they are stopped: controllers if there are any, then the API server, then etcd.
    processes: Vec<ChildProcess>,
    folder: PathBuf,
    /// The API server's program, arguments and port.
    server: (PathBuf, Vec<String>, u16),
    /// The client for the API server.
    pub api: Api,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.processes.clear();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl ControlPlane {
    /// Starts the control plane and waits until it is ready.
    ///
    /// # Errors
    /// The control plane does not become ready; the error contains the API server's log.
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

    /// Starts the control plane without controllers, so that workloads do not create pods.
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
            // Otherwise the API server rejects privileged pods itself, before the policies see them.
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

    /// Starts or restarts the API server and waits until it is ready.
    ///
    /// # Errors
    /// The API server does not become ready; the error contains its log.
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

    /// Waits until the API server is ready and returns a client.
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

/// Returns ports that are not in use.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}
