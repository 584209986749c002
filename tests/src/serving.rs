//! Runs the webhook in its own process, with a certificate that the test creates.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use webhook_server::server::client::Client;
use webhook_server::server::tls;

use crate::process::pratique;

/// The time limit for a start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A webhook in its own process. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// A TLS client configuration that trusts its certificate.
    pub trusted: Arc<rustls::ClientConfig>,
    /// The time from the start until it was ready.
    pub ready_after: Duration,
    /// The folder with its certificate (`tls.crt`, `tls.key`) and its output (`log`).
    pub folder: PathBuf,
}

/// A certificate for localhost and its key, as PEM, written to `tls.crt` and `tls.key` of a folder.
///
/// # Errors
/// The folder is not writable.
pub fn certificate(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert, key))
}

/// A certificate in the format of a `caBundle` or a kubeconfig: PEM, in Base64.
pub fn ca_bundle(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .encode(webhook_server::certificate::to_pem(std::slice::from_ref(certificate)))
}

/// The value of a metric that is served at an address; NaN if it does not exist.
///
/// # Errors
/// No server listens there, or the value is not a number.
pub fn metric_at(address: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.unwrap_or("NaN").parse()?)
}

impl Serving {
    /// Starts a webhook on a free port, with a new certificate.
    ///
    /// # Errors
    /// It does not start; the error contains its output.
    pub fn start(name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pratique-{}-{name}-{number}", std::process::id()));
        certificate(&folder)?;
        Serving::start_in(folder, "127.0.0.1:0", arguments)
    }

    /// Starts a webhook with the certificate in a folder.
    ///
    /// # Errors
    /// As [`Serving::start`].
    pub fn start_in(folder: PathBuf, listen: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let trusted = tls::trusting(&[CertificateDer::from_pem_file(&cert)?])?;
        let files: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--tls-cert", &cert, &"--tls-key", &key];
        let mut command = pratique();
        command.args(["serve", "--listen", listen]);
        command.args(files.map(AsRef::as_ref)).args(arguments);
        Serving::run(command, folder, trusted)
    }

    /// Runs a command that serves the webhook, and writes its output to a file in the folder.
    ///
    /// # Errors
    /// As [`Serving::start`].
    pub fn run(
        mut command: Command,
        folder: PathBuf,
        trusted: Arc<rustls::ClientConfig>,
    ) -> anyhow::Result<Self> {
        let log = std::fs::File::create(folder.join("log"))?;
        let since = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let address = loop {
            let log = std::fs::read_to_string(folder.join("log"))?;
            if let Some(address) = log.lines().find_map(serves) {
                break address;
            }
            if child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                drop(child.kill());
                bail!("the server did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Serving { child, address, trusted, ready_after: since.elapsed(), folder })
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The output so far.
    ///
    /// # Errors
    /// The log file cannot be read.
    pub fn output(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("log"))?)
    }

    /// The address of the metrics (`--metrics-listen`).
    ///
    /// # Errors
    /// It does not serve metrics.
    pub fn metrics(&self) -> anyhow::Result<SocketAddr> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let output = self.output()?;
            if let Some((_, rest)) = output.split_once("metrics on http://") {
                let (address, _) = rest.split_once("/metrics").context("an address")?;
                return Ok(address.parse()?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server does not serve metrics")
    }

    /// The value of a metric, with its labels in `name` if it has any; NaN if it does not exist.
    ///
    /// # Errors
    /// It does not serve metrics.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        metric_at(self.metrics()?, name)
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// The process has already ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(self.pid().to_string()).status()?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// Connects to the webhook.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.address, self.trusted.clone()).await
    }

    /// Waits until the process ends, and returns its output.
    ///
    /// # Errors
    /// The exit status is not 0.
    pub fn end(mut self) -> anyhow::Result<String> {
        let status = self.child.wait()?;
        let output = self.output()?;
        ensure!(status.success(), "{status}: {output}");
        Ok(output)
    }

    /// Kills the process, and returns its folder and address.
    ///
    /// # Errors
    /// The process cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<(PathBuf, SocketAddr)> {
        self.child.kill()?;
        self.child.wait()?;
        Ok((std::mem::take(&mut self.folder), self.address))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if !self.folder.as_os_str().is_empty() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// The address in the log line that reports it.
fn serves(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(" on https://")?;
    address.trim_end_matches('}').trim_matches('"').parse().ok()
}

/// Waits until a condition holds.
///
/// # Errors
/// It does not hold in time; the error contains `what`.
pub async fn until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    is_so: impl Fn() -> F,
) -> anyhow::Result<()> {
    let since = Instant::now();
    while !is_so().await? {
        ensure!(since.elapsed() < 2 * PATIENCE, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
