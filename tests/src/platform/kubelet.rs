//! Simulates the kubelet: runs a program for each container of the stored pods, on the pod's address, with the
//! container's arguments, variables and volumes, and reports why a container waits.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::listeners::{self, ContainerListeners};
use super::objects::{containers, text};
use super::program::{Program, rewrite, rewritten};
use super::prometheus::Reloader;
use super::proxy::{self, Proxy};
use super::root;
use super::volumes::{expanded, variables, written};
use crate::control_plane::{Api, ChildProcess};

/// The time between two rounds.
const PERIOD: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(90);

/// A container: the pod's namespace and name, and the container's name.
pub type ContainerName = (String, String, String);
/// A container and the UID of its pod, because a new pod can have the name of an old one.
type Key = (ContainerName, String);

/// The kubelet of all nodes.
pub struct Kubelet {
    api: Api,
    folder: PathBuf,
    proxy: Proxy,
    state: Mutex<KubeletState>,
}

#[derive(Default)]
struct KubeletState {
    pods: Vec<Value>,
    services: Vec<Value>,
    containers: BTreeMap<Key, ContainerProcess>,
    /// The number of times that a container's program has ended by itself.
    ended: BTreeMap<ContainerName, usize>,
    /// Why a container waits.
    waiting: BTreeMap<ContainerName, String>,
    /// The containers that a test has stopped, by namespace and by prefix of the pod's name or name of the container.
    stopped: BTreeSet<(String, String)>,
}

/// The process or the listeners of a container.
enum ContainerProcess {
    Program(ProcessGroup),
    Played(#[expect(dead_code, reason = "dropping it stops the listeners")] ContainerListeners),
}

/// A process and its children. They are killed when this value is dropped.
struct ProcessGroup(ChildProcess);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.pid());
        drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
    }
}

impl Kubelet {
    /// Creates a kubelet that writes its files below a folder.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn new(api: Api, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("pods");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("hosts"), "127.0.0.1 localhost\n")?;
        Ok(Kubelet { api, folder, proxy: Proxy::default(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, KubeletState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Synchronizes containers with the stored pods in an endless loop.
    pub async fn run(self: Arc<Self>) {
        let mut reloader = Reloader::default();
        loop {
            let since = Instant::now();
            if let Err(error) = self.look(&mut reloader).await {
                eprintln!("the kubelet: {error:#}");
            }
            tokio::time::sleep(PERIOD.saturating_sub(since.elapsed())).await;
        }
    }

    async fn look(&self, reloader: &mut Reloader) -> anyhow::Result<()> {
        let list = |path: &'static str| async move {
            let mut list = self.api.get(path).await?.well()?;
            anyhow::Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
        };
        let Ok(pods) = list("/api/v1/pods").await else { return Ok(()) };
        let Ok(services) = list("/api/v1/services").await else { return Ok(()) };
        let (routes, names) = proxy::of(&services, &pods);
        self.proxy.route(routes).await;
        let hosts = self.folder.join("hosts");
        if std::fs::read_to_string(&hosts)? != names {
            std::fs::write(&hosts, names)?;
        }
        let runs = |pod: &&Value| {
            pod["status"]["phase"] == "Running"
                && pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["podIP"].is_string()
        };
        let running: Vec<&Value> = pods.iter().filter(runs).collect();
        self.forget(&running);
        let mut waiting = BTreeMap::new();
        for pod in running {
            let volumes = written(&self.api, pod, &self.folder_of(pod).join("volumes")).await;
            for container in containers(pod) {
                let name = name(pod, container);
                if let Err(error) = self.keep(pod, container, &name, &volumes).await {
                    waiting.insert(name, format!("{error:#}"));
                }
            }
        }
        reloader.look(&pods, &self.folder).await;
        let mut state = self.state();
        state.pods = pods;
        state.services = services;
        state.waiting = waiting;
        Ok(())
    }

    /// Stops the containers of pods that are gone, and those that a test has stopped.
    fn forget(&self, running: &[&Value]) {
        let keys: BTreeSet<Key> =
            running.iter().flat_map(|pod| containers(pod).map(|container| key(pod, container))).collect();
        let mut state = self.state();
        let KubeletState { containers, ended, stopped, .. } = &mut *state;
        containers.retain(|key, container| {
            let is_alive = match container {
                ContainerProcess::Program(group) => group.0.is_alive(),
                ContainerProcess::Played(_) => true,
            };
            let is_wanted = keys.contains(key) && !is_stopped(stopped, &key.0);
            if is_wanted && !is_alive {
                *ended.entry(key.0.clone()).or_default() += 1;
            }
            is_alive && is_wanted
        });
    }

    fn folder_of(&self, pod: &Value) -> PathBuf {
        self.folder.join(format!("{}_{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name")))
    }

    /// Starts a container unless it is running. A running container keeps the configuration that it has read.
    async fn keep(
        &self,
        pod: &Value,
        container: &Value,
        name: &ContainerName,
        volumes: &anyhow::Result<BTreeMap<String, PathBuf>>,
    ) -> anyhow::Result<()> {
        let is_settled = {
            let state = self.state();
            state.containers.contains_key(&key(pod, container)) || is_stopped(&state.stopped, name)
        };
        if is_settled {
            return Ok(());
        }
        let ip = text(pod, "/status/podIP");
        let folder = self.folder_of(pod);
        let volumes = volumes.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let variables = variables(&self.api, pod, container).await?;
        let image = text(container, "/image");
        let started = match Program::of(image, ip)? {
            None => ContainerProcess::Played(listeners::play(pod, container).await?),
            Some(program) => {
                let own = folder.join(&name.2);
                std::fs::create_dir_all(own.join("root"))?;
                let mut mounts =
                    vec![(self.folder.join("hosts").display().to_string(), "/etc/hosts".to_owned())];
                mounts.push((program.file.display().to_string(), "/program".to_owned()));
                for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                    let volume =
                        volumes.get(text(mount, "/name")).context("the mounted volume is not defined")?;
                    let source = volume.join(text(mount, "/subPath"));
                    mounts.push((source.display().to_string(), text(mount, "/mountPath").to_owned()));
                }
                if let Some(rewritten_file) = program.rewrites {
                    rewrite(&mut mounts, rewritten_file, &own, ip)?;
                }
                let mut arguments = vec!["/program".to_owned()];
                arguments.extend(program.first);
                for argument in container["args"].as_array().into_iter().flatten() {
                    let argument = argument.as_str().context("an argument must be a string")?;
                    arguments.push(rewritten(&expanded(argument, &variables), ip));
                }
                arguments.extend(program.last);
                let mut command = root::command(&own.join("root"), &mounts, &arguments);
                command.envs(variables.iter().map(|(name, value)| (name, rewritten(value, ip))));
                command.env("KUBERNETES_SERVICE_HOST", "10.96.0.1").env("KUBERNETES_SERVICE_PORT", "443");
                let log = std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(folder.join(format!("{}.log", name.2)))?;
                command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
                command.process_group(0);
                ContainerProcess::Program(ProcessGroup(ChildProcess::of(command)?))
            }
        };
        self.state().containers.insert(key(pod, container), started);
        Ok(())
    }

    /// The stored pods of a namespace whose names have this prefix, without those that are being deleted.
    pub fn pods(&self, namespace: &str, prefix: &str) -> Vec<Value> {
        let state = self.state();
        let is_one = |pod: &&Value| {
            text(pod, "/metadata/namespace") == namespace
                && text(pod, "/metadata/name").starts_with(prefix)
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        state.pods.iter().filter(is_one).cloned().collect()
    }

    /// All pods and Services of the last round.
    pub fn seen(&self) -> (Vec<Value>, Vec<Value>) {
        let state = self.state();
        (state.pods.clone(), state.services.clone())
    }

    /// The reasons why containers wait.
    pub fn waiting(&self) -> BTreeMap<ContainerName, String> {
        self.state().waiting.clone()
    }

    /// The containers whose program has ended by itself, each with the number of times.
    pub fn ended(&self) -> BTreeMap<ContainerName, usize> {
        self.state().ended.clone()
    }

    /// The process IDs of the containers.
    pub fn pids(&self) -> Vec<(ContainerName, u32)> {
        let state = self.state();
        let pid = |(key, container): (&Key, &ContainerProcess)| match container {
            ContainerProcess::Program(group) => Some((key.0.clone(), group.0.pid())),
            ContainerProcess::Played(_) => None,
        };
        state.containers.iter().filter_map(pid).collect()
    }

    /// Stops the pods of a namespace whose names have this prefix, or the containers with this name, until [`Kubelet::start`].
    pub fn stop(&self, namespace: &str, prefix: &str) {
        self.state().stopped.insert((namespace.to_owned(), prefix.to_owned()));
    }

    /// Allows stopped containers to run again.
    pub fn start(&self, namespace: &str, prefix: &str) {
        self.state().stopped.remove(&(namespace.to_owned(), prefix.to_owned()));
    }

    /// Closes every connection to a Service.
    pub fn cut_connections(&self) {
        self.proxy.cut();
    }

    /// Stops the containers of these pods. They start again in the next round.
    pub fn restart(&self, namespace: &str, prefix: &str) {
        self.state().containers.retain(|((ns, pod, _), _), _| ns != namespace || !pod.starts_with(prefix));
    }

    /// The log of a container.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        let file = self.folder.join(format!("{namespace}_{pod}/{container}.log"));
        super::control::tail(&file)
    }

    /// Waits until all containers with this name in the namespace are running and listening.
    ///
    /// # Errors
    /// They are not running in time; the error has the reasons, and a log.
    pub async fn until_started(&self, namespace: &str, container: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let (pods, _) = self.seen();
            let of_it = pods.iter().filter(|pod| text(pod, "/metadata/namespace") == namespace);
            let named = |pod: &Value| containers(pod).find(|c| c["name"] == container).cloned();
            let meant: Vec<(&Value, Value)> = of_it.filter_map(|pod| Some((pod, named(pod)?))).collect();
            let mut closed = Vec::new();
            for (pod, container) in &meant {
                for port in container["ports"].as_array().into_iter().flatten() {
                    let address = format!("{}:{}", text(pod, "/status/podIP"), port["containerPort"]);
                    if port["protocol"] != "UDP" && tokio::net::TcpStream::connect(&address).await.is_err() {
                        closed.push((text(pod, "/metadata/name").to_owned(), address));
                    }
                }
            }
            if !meant.is_empty() && closed.is_empty() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                let waiting = self.waiting();
                let output =
                    closed.first().map(|(pod, _)| self.log(namespace, pod, container)).unwrap_or_default();
                bail!("{namespace}/{container} is not running: {closed:?} {waiting:?} {output}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn is_stopped(stopped: &BTreeSet<(String, String)>, (namespace, pod, container): &ContainerName) -> bool {
    stopped
        .iter()
        .any(|(ns, prefix)| ns == namespace && (pod.starts_with(prefix.as_str()) || container == prefix))
}

fn key(pod: &Value, container: &Value) -> Key {
    (name(pod, container), text(pod, "/metadata/uid").to_owned())
}

fn name(pod: &Value, container: &Value) -> ContainerName {
    let owned = |object: &Value, pointer: &str| text(object, pointer).to_owned();
    (owned(pod, "/metadata/namespace"), owned(pod, "/metadata/name"), owned(container, "/name"))
}
