//! MariaDB in place of MySQL: one server per pod on the pod's addresses, with the exporter's user from the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use serde_json::Value;

use super::kubelet::Kubelet;
use super::objects::text;
use super::program::loopback;
use crate::control_plane::{Api, ChildProcess};
use crate::process::run;
use crate::serving::until;
use crate::{root, tools};

/// The database servers, by pod.
pub struct Databases {
    folder: PathBuf,
    /// By pod, each with the address that it listens on.
    running: BTreeMap<String, (String, ChildProcess)>,
    /// The pods whose servers a test has stopped.
    stopped: BTreeSet<String>,
}

fn find(name: &str) -> anyhow::Result<PathBuf> {
    tools::find(name, "install mariadb-server and mariadb-client").map_err(anyhow::Error::msg)
}

impl Databases {
    /// Starts a server for each MySQL pod.
    ///
    /// # Errors
    /// A server does not start.
    pub async fn start(api: &Api, kubelet: &Kubelet, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("databases");
        std::fs::create_dir_all(&folder)?;
        let empty = format!("--datadir={}", folder.join("empty").display());
        let install = [
            "--no-defaults",
            &empty,
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ];
        run(Command::new(find("mariadb-install-db")?).args(install).arg("--innodb-log-file-size=4M"))?;
        let secret = api.get("/api/v1/namespaces/mysql/secrets/mysql").await?.well()?;
        let password = text(&secret, "/data/exporter-password");
        let password = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(password)?)?;
        let mut databases = Databases { folder, running: BTreeMap::new(), stopped: BTreeSet::new() };
        let has_address = |pod: &Value| !text(pod, "/status/podIP").is_empty();
        until("the pods have addresses", || async {
            let pods = kubelet.pods("mysql", "mysql-");
            Ok(!pods.is_empty() && pods.iter().all(has_address))
        })
        .await?;
        let pods = kubelet.pods("mysql", "mysql-");
        for pod in &pods {
            databases.start_one(pod)?;
        }
        for pod in &pods {
            databases.users(pod, &password)?;
        }
        Ok(databases)
    }

    /// Starts the server of a pod.
    ///
    /// # Errors
    /// The server cannot be started.
    pub fn start_one(&mut self, pod: &Value) -> anyhow::Result<()> {
        let (name, ip) = (text(pod, "/metadata/name"), text(pod, "/status/podIP"));
        let data = self.folder.join(name);
        if !data.is_dir() {
            run(Command::new("cp").arg("-r").arg(self.folder.join("empty")).arg(&data))?;
        }
        let arguments = [
            "--no-defaults".to_owned(),
            "--user=root".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--socket={}", self.socket(name)),
            format!("--pid-file={}.pid", data.display()),
            format!("--bind-address={ip},{}", loopback(ip)),
            "--port=3306".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--performance-schema=ON".to_owned(),
            "--innodb-log-file-size=4M".to_owned(),
            "--innodb-buffer-pool-size=16M".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
        ];
        let log = self.folder.join(format!("{name}.log"));
        let running = ChildProcess::start(&find("mariadbd")?, &arguments, &log)?;
        self.running.insert(name.to_owned(), (ip.to_owned(), running));
        self.stopped.remove(name);
        Ok(())
    }

    fn socket(&self, pod: &str) -> String {
        self.folder.join(format!("{pod}.sock")).display().to_string()
    }

    /// Creates the exporter's user with the grants of the manifests' script. Connections to any address of 127/8 come
    /// from 127.0.0.1.
    fn users(&self, pod: &Value, password: &str) -> anyhow::Result<()> {
        let script = std::fs::read_to_string(root().join("manifests/data/mysql/scripts/create-users.sh"))?;
        let after =
            script.split("-- mysqld_exporter").nth(1).context("the script creates the exporter's user")?;
        let statements: Vec<&str> = after.lines().skip(1).take_while(|line| !line.is_empty()).collect();
        let statements =
            statements.join("\n").replace(r#"$(quoted "$EXPORTER_PASSWORD")"#, &format!("'{password}'"));
        ensure!(statements.contains("GRANT") && !statements.contains('$'), "{statements}");
        let name = text(pod, "/metadata/name");
        let since = Instant::now();
        loop {
            match self.execute(name, &format!("CREATE DATABASE IF NOT EXISTS shop;\n{statements}")) {
                Err(_) if since.elapsed() < Duration::from_secs(60) => {
                    std::thread::sleep(Duration::from_millis(200))
                }
                result => {
                    let log = self.folder.join(format!("{name}.log"));
                    return result.map(drop).with_context(|| super::control::tail(&log));
                }
            }
        }
    }

    /// Executes statements in a pod's server as its administrator.
    ///
    /// # Errors
    /// The server does not respond, or a statement fails.
    pub fn execute(&self, pod: &str, statements: &str) -> anyhow::Result<String> {
        let socket = format!("--socket={}", self.socket(pod));
        run(Command::new(find("mariadb")?).args([
            "--no-defaults",
            &socket,
            "--user=root",
            "--execute",
            statements,
        ]))
    }

    /// The command that executes a statement in the shop's schema. The caller starts it.
    ///
    /// # Errors
    /// The MariaDB client is missing.
    pub fn query(&self, pod: &str, statement: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(find("mariadb")?);
        let socket = format!("--socket={}", self.socket(pod));
        command.args(["--no-defaults", &socket, "--user=root", "--database=shop", "--execute", statement]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Restarts the servers of pods that have a new address.
    ///
    /// # Errors
    /// A server cannot be started.
    pub fn follow(&mut self, pods: &[Value]) -> anyhow::Result<()> {
        for pod in pods {
            let (name, ip) = (text(pod, "/metadata/name"), text(pod, "/status/podIP"));
            let moved = self.running.get(name).is_some_and(|(address, _)| address != ip);
            if moved && !ip.is_empty() && !self.stopped.contains(name) {
                drop(self.running.remove(name));
                self.start_one(pod)?;
            }
        }
        Ok(())
    }

    /// Stops a pod's server.
    pub fn stop(&mut self, pod: &str) {
        self.stopped.insert(pod.to_owned());
        drop(self.running.remove(pod));
    }
}
