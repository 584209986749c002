//! The webhook and a bare server to compare with, each in its own process, and the load for both.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webhook_server::server::Server;
use webhook_server::server::tls::{self, Identity};

use crate::measure;
use crate::process::dist_binary;
use crate::serving::Serving;

const BARE: &str = "--bare";
/// The duration of a round.
pub const ROUND: Duration = Duration::from_secs(2);
/// The number of rounds.
pub const ROUNDS: usize = 3;

/// Both servers, with the same certificate.
pub struct Servers {
    pub webhook: Serving,
    pub bare: Serving,
    /// The file of the certificate.
    pub cert: PathBuf,
    pub connector: TlsConnector,
}

/// The `main` of a benchmark. Runs the bare server if this process was started for it, or `measure` with a temporary folder.
pub fn main(measure: impl FnOnce(&Path)) {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, cert, key] = arguments.as_slice()
        && flag == BARE
    {
        return bare(Path::new(cert), Path::new(key));
    }
    let folder = std::env::temp_dir().join(format!("pratique-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder can be created");
    measure(&folder);
    drop(std::fs::remove_dir_all(&folder));
}

impl Servers {
    /// Starts both servers.
    pub fn start(folder: &Path) -> Self {
        let (cert, key) = crate::serving::certificate(folder).expect("a certificate");
        let certificate = CertificateDer::from_pem_file(&cert).expect("a certificate");
        let trusted = tls::trusting(&[certificate]).expect("the certificate is valid");
        let run = |name: &str, command: Command| {
            let own = folder.join(name);
            std::fs::create_dir_all(&own).expect("the folder can be created");
            Serving::run(command, own, trusted.clone()).expect("the server starts")
        };
        let mut bare = Command::new(std::env::current_exe().expect("the path of the benchmark program"));
        bare.arg(BARE).arg(&cert).arg(&key);
        let mut webhook = Command::new(dist_binary());
        webhook.args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"]).arg(&cert);
        webhook.arg("--tls-key").arg(&key);
        let (bare, webhook) = (run("bare", bare), run("webhook", webhook));
        std::thread::sleep(Duration::from_millis(500));
        Servers { webhook, bare, cert, connector: TlsConnector::from(trusted.clone()) }
    }
}

/// The server to compare with, on the same TLS and HTTP stack.
fn bare(cert: &Path, key: &Path) {
    #[derive(Deserialize)]
    struct Skim<'a> {
        #[serde(borrow)]
        request: SkimRequest<'a>,
    }
    #[derive(Deserialize)]
    struct SkimRequest<'a> {
        uid: &'a str,
    }
    let answer = |uid: &str| {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
        )
    };
    let raw = async |body: Bytes| format!("{}", body.len());
    let skim = async move |body: Bytes| {
        let review: Skim<'_> = serde_json::from_slice(&body).expect("the body is a review");
        answer(review.request.uid)
    };
    let parse = async move |body: Bytes| {
        let review: serde_json::Value = serde_json::from_slice(&body).expect("the body is JSON");
        answer(review["request"]["uid"].as_str().expect("the review has a uid"))
    };
    let router =
        Router::new().route("/raw", post(raw)).route("/skim", post(skim)).route("/parse", post(parse));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let identity = Identity::from_files(cert, key).expect("a certificate");
        let server = Server::start(listener, identity.server().expect("a certificate"), router)
            .expect("the server starts");
        eprintln!("bare on https://{}", server.address);
        std::future::pending::<()>().await;
    });
}

/// The measurements of a round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Responses per second.
    pub rate: f64,
    /// The latency in milliseconds, also of `p99`.
    pub p50: f64,
    pub p99: f64,
    /// The CPU time of the server per response, in microseconds.
    pub cpu: f64,
}

impl Round {
    /// Computes a round from the latencies, the duration of the round, and the CPU time of the server.
    pub fn of(mut latencies: Vec<Duration>, elapsed: Duration, cpu: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        Round {
            rate: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            cpu: cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
        }
    }
}

/// The medians of several rounds, separately for each value.
pub fn median(rounds: &[Round]) -> Round {
    let of = |field: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Round { rate: of(|r| r.rate), p50: of(|r| r.p50), p99: of(|r| r.p99), cpu: of(|r| r.cpu) }
}

/// Runs one round: sends the same review repeatedly on this number of connections.
pub async fn load(
    process: &Serving,
    connector: &TlsConnector,
    connections: usize,
    path: &str,
    review: &str,
) -> Round {
    let request: Arc<[u8]> = format!(
        "POST {path}?timeout=10s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{review}",
        review.len()
    )
    .into_bytes()
    .into();
    let mut streams = Vec::new();
    for _ in 0..connections {
        let tcp = TcpStream::connect(process.address).await.expect("the server listens");
        tcp.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        streams.push(connector.connect(name, tcp).await.expect("the TLS handshake succeeds"));
    }
    let (cpu, since) = (measure::cpu(process.pid()), Instant::now());
    let tasks: Vec<_> =
        streams.into_iter().map(|stream| tokio::spawn(ask(stream, request.clone(), since))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no client fails"));
    }
    let (elapsed, cpu) = (since.elapsed(), measure::cpu(process.pid()) - cpu);
    Round::of(latencies, elapsed, cpu)
}

/// Sends the request repeatedly for one round, and returns the latency of each response.
async fn ask(mut stream: TlsStream<TcpStream>, request: Arc<[u8]>, since: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while since.elapsed() < ROUND {
        let sent = Instant::now();
        stream.write_all(&request).await.expect("the request is written");
        stream.flush().await.expect("the request is sent");
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.expect("the response is read");
            assert!(read > 0, "the server keeps the connection open");
            filled += read;
            if let Some(length) = answer_length(&buffer[..filled])
                && filled >= length
            {
                break;
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "the server responds {}",
            String::from_utf8_lossy(&buffer[..filled])
        );
        latencies.push(sent.elapsed());
    }
    latencies
}

/// The length of the response at the start of the buffer, once its headers are complete.
fn answer_length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let headers = std::str::from_utf8(&buffer[..end]).ok()?.to_ascii_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(end + length.trim().parse::<usize>().ok()?)
}
