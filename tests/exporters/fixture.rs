//! Runs inside the network namespace: starts the servers, the exporters and Prometheus, queries them, and stops them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use conformance::folder::Folder;
use conformance::process::run;
use conformance::{root, tools};
use serde_json::{Value, json};

use crate::pods;

const PASSWORD: &str = "Vq7-correct";
const PATIENCE: Duration = Duration::from_secs(60);
const PROMETHEUS: u64 = 9090;

/// Starts everything, collects the results, and returns them.
pub(crate) fn play() -> anyhow::Result<Value> {
    let folder = Folder::new("exporters");
    let mysqld = pods::of_workload("manifests/data/mysql/stateful-set.yaml")?;
    let redis = pods::of_case("patch-redis-with-secret.yaml")?;
    let nginx = pods::of_case("patch-nginx.yaml")?;
    let elasticsearch = pods::of_case("patch-elasticsearch.yaml")?;
    let containers = [&mysqld, &redis, &nginx, &elasticsearch];
    let exporters = start_all(&containers, "wrong")?;
    // Without any server, because the liveness probe must not depend on one.
    let mut liveness = Vec::new();
    for container in containers {
        let path = container["livenessProbe"]["httpGet"]["path"]
            .as_str()
            .context("the container has an HTTP liveness probe")?;
        liveness.push(wait(|| get(port(container)?, path))?.status);
    }
    let _prometheus = prometheus(&folder, &containers)?;
    let _servers = [mariadb(&folder)?, redis_server(&folder)?, nginx_server(&folder)?];
    for port in [3306, 6379, 8080] {
        wait(|| Ok(TcpStream::connect(("127.0.0.1", port))?))?;
    }
    // Only samples after the servers have started, because an unreachable server also gives 0.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let scraped_since = |metric: &str| format!("{metric} and timestamp({metric}) > {now}");
    let mysql_wrong = expect(&scraped_since("mysql_up"), 0);
    let redis_wrong = expect(&scraped_since("redis_up"), 0);
    drop(exporters);
    let _exporters = start_all(&containers, PASSWORD)?;
    let latency = r#"mysql_exporter_collector_success{collector="collect.perf_schema.eventsstatements"}"#;
    Ok(json!({
        "liveness": liveness,
        "mysql_up, wrong password": mysql_wrong,
        "redis_up, wrong password": redis_wrong,
        "mysql_up": expect("mysql_up", 1),
        "redis_up": expect("redis_up", 1),
        "nginx_up": expect("nginx_up", 1),
        "latency by digest": expect(latency, 1),
        "elasticsearch /metrics": wait(|| get(port(&elasticsearch)?, "/metrics"))?.status,
        "targets up": expect("sum(up)", 4),
    }))
}

/// A process that is killed when this value is dropped.
struct ExporterProcess(Child);

impl Drop for ExporterProcess {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn command(name: &str) -> anyhow::Result<Command> {
    Ok(Command::new(tools::find(name, "see the list of required programs").map_err(anyhow::Error::msg)?))
}

/// Starts a server and writes its output to a file.
fn start(command: &mut Command, log: &Path) -> anyhow::Result<ExporterProcess> {
    let log = fs::File::create(log)?;
    let started = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    Ok(ExporterProcess(started.with_context(|| format!("{command:?}"))?))
}

/// Starts the exporters as a kubelet would: with only the arguments and the environment of their containers.
fn start_all(containers: &[&Value], password: &str) -> anyhow::Result<Vec<ExporterProcess>> {
    containers.iter().map(|container| exporter(container, password)).collect()
}

fn exporter(container: &Value, password: &str) -> anyhow::Result<ExporterProcess> {
    let image = container["image"].as_str().context("the container has an image")?;
    let program = match image.rsplit('/').next().and_then(|name| name.split(':').next()) {
        Some("mysqld-exporter") => "mysqld_exporter",
        Some("redis_exporter") => "redis_exporter",
        Some("nginx-prometheus-exporter") => "nginx-prometheus-exporter",
        Some("elasticsearch-exporter") => "elasticsearch_exporter",
        _ => bail!("no program for the image {image}"),
    };
    let mut command = command(program)?;
    command.env_clear();
    for arg in container["args"].as_array().into_iter().flatten() {
        command.arg(arg.as_str().context("an argument must be a string")?);
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        // All Secrets contain the same password.
        let from_secret = variable["valueFrom"]["secretKeyRef"].is_object();
        let value = if from_secret { Some(password) } else { variable["value"].as_str() };
        let name = variable["name"].as_str().context("the variable has a name")?;
        command.env(name, value.context("the variable has a value")?);
    }
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
    Ok(ExporterProcess(started.with_context(|| program.to_owned())?))
}

fn port(container: &Value) -> anyhow::Result<u64> {
    container["ports"][0]["containerPort"].as_u64().context("the container has a port")
}

fn prometheus(folder: &Folder, containers: &[&Value]) -> anyhow::Result<ExporterProcess> {
    let targets = containers.iter().map(|container| Ok(format!("127.0.0.1:{}", port(container)?)));
    let targets = targets.collect::<anyhow::Result<Vec<_>>>()?;
    let config = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "pods", "static_configs": [{"targets": targets}]}],
    });
    let config = folder.file("prometheus.yaml", config.to_string());
    let mut command = command("prometheus")?;
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.0.join("prometheus").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{PROMETHEUS}"));
    start(&mut command, &folder.0.join("prometheus.log"))
}

/// Starts MariaDB with the exporter's user and grants from the manifests' script.
fn mariadb(folder: &Folder) -> anyhow::Result<ExporterProcess> {
    let (data, socket) = (folder.0.join("mariadb"), folder.0.join("mariadb.sock"));
    let data = format!("--datadir={}", data.display());
    let socket = format!("--socket={}", socket.display());
    let install =
        ["--no-defaults", &data, "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"];
    run(command("mariadb-install-db")?.args(install))?;
    let mut server = command("mariadbd")?;
    server.args(["--no-defaults", &data, &socket, "--user=root", "--bind-address=127.0.0.1", "--port=3306"]);
    server.arg("--performance-schema=ON");
    let running = start(&mut server, &folder.0.join("mariadb.log"))?;
    let script = fs::read_to_string(root().join("manifests/data/mysql/scripts/create-users.sh"))?;
    let after =
        script.split("-- mysqld_exporter").nth(1).context("the script creates the exporter's user")?;
    let statements: Vec<&str> = after.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    let statements =
        statements.join("\n").replace(r#"$(quoted "$EXPORTER_PASSWORD")"#, &format!("'{PASSWORD}'"));
    ensure!(statements.contains("GRANT") && !statements.contains('$'), "{statements}");
    wait(|| {
        run(command("mariadb")?.args(["--no-defaults", &socket, "--user=root", "--execute", &statements]))
    })?;
    Ok(running)
}

fn redis_server(folder: &Folder) -> anyhow::Result<ExporterProcess> {
    let mut server = command("redis-server")?;
    server.args(["--port", "6379", "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "", "--dir"]);
    start(server.arg(&folder.0), &folder.0.join("redis.log"))
}

/// Starts NGINX with its counters at the exporter's default address.
fn nginx_server(folder: &Folder) -> anyhow::Result<ExporterProcess> {
    let at = folder.0.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"));
    let config = format!(
        "daemon off; pid {at}/nginx.pid; error_log stderr; events {{}}\nhttp {{ access_log off; {}\n\
         server {{ listen 127.0.0.1:8080; location = /stub_status {{ stub_status; }} }} }}\n",
        paths.join(" ")
    );
    let config = folder.file("nginx.conf", &config);
    start(command("nginx")?.args(["-e", "stderr", "-c"]).arg(config), &folder.0.join("nginx.log"))
}

/// An HTTP response.
struct ExporterResponse {
    status: u16,
    body: String,
}

/// Sends a GET request to loopback. Uses HTTP/1.0, so that the body ends with the connection.
fn get(port: u64, path: &str) -> anyhow::Result<ExporterResponse> {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port)?))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the response has a head and a body")?;
    let status = head.split(' ').nth(1).context("the response has a status")?.parse()?;
    Ok(ExporterResponse { status, body: body.to_owned() })
}

/// Retries until it succeeds, for at most `PATIENCE`.
fn wait<T>(mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        match attempt() {
            Err(_) if since.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(200)),
            result => return result,
        }
    }
}

/// Queries Prometheus until the expression has this value, and returns the last value; `None` if it has none.
fn expect(expression: &str, wanted: i64) -> Option<i64> {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let path = format!("/api/v1/query?query={}", expression.bytes().map(encode).collect::<String>());
    let mut last = None;
    let result = wait(|| {
        let answer: Value = serde_json::from_str(&get(PROMETHEUS, &path)?.body)?;
        let text =
            answer["data"]["result"][0]["value"][1].as_str().context("the expression has no value yet")?;
        last = Some(text.parse()?);
        ensure!(last == Some(wanted), "not yet");
        Ok(())
    });
    // Return the last value, even if it is not the expected one.
    drop(result);
    last
}
