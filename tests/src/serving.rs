//! The webhook in a process of its own, with a certificate that the test made.

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

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook in a process of its own. It ends with this, and its folder goes.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What trusts its certificate.
    pub trusted: Arc<rustls::ClientConfig>,
    /// How long that took.
    pub ready_after: Duration,
    /// Its certificate (`tls.crt`, `tls.key`), and what it says (`log`).
    pub folder: PathBuf,
}

/// A certificate for localhost and its key, as PEM, written to `tls.crt` and `tls.key` of a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn certificate(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert, key))
}

/// A certificate as a `caBundle` has it, or a kubeconfig: PEM, in Base64.
pub fn ca_bundle(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .encode(webhook_server::certificate::to_pem(std::slice::from_ref(certificate)))
}

/// What a metric says that is served there; not a number where there is none of that name.
///
/// # Errors
/// Nobody serves metrics there.
pub fn metric_at(address: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.unwrap_or("NaN").parse()?)
}

impl Serving {
    /// Starts one on a free port, with a new certificate.
    ///
    /// # Errors
    /// It does not serve; what it said.
    pub fn start(name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pratique-{}-{name}-{number}", std::process::id()));
        certificate(&folder)?;
        Serving::start_in(folder, "127.0.0.1:0", arguments)
    }

    /// Starts one with the certificate that is in a folder.
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

    /// Runs a command that serves, and is to be trusted for that; what it says goes to a file of the folder.
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
            let output = std::fs::read_to_string(folder.join("log"))?;
            if let Some(address) = output.lines().find_map(serves) {
                break address;
            }
            if child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                drop(child.kill());
                bail!("it does not serve: {output}");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Serving { child, address, trusted, ready_after: since.elapsed(), folder })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn output(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("log"))?)
    }

    /// Where it serves metrics (`--metrics-listen`).
    ///
    /// # Errors
    /// It does not.
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
        bail!("it serves no metrics")
    }

    /// What a metric without labels says, or with those in its name; not a number where there is none of that name.
    ///
    /// # Errors
    /// It serves no metrics.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        metric_at(self.metrics()?, name)
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// It has ended already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(self.pid().to_string()).status()?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// A connection.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.address, self.trusted.clone()).await
    }

    /// Waits for the end, and gives what it said.
    ///
    /// # Errors
    /// It did not end well.
    pub fn end(mut self) -> anyhow::Result<String> {
        let status = self.child.wait()?;
        let output = self.output()?;
        ensure!(status.success(), "{status}: {output}");
        Ok(output)
    }

    /// Kills it, and gives what it was started with.
    ///
    /// # Errors
    /// It cannot be killed.
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

/// The address in the line that says where it serves.
fn serves(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(" on https://")?;
    address.trim_end_matches('}').trim_matches('"').parse().ok()
}

/// Waits until something becomes so.
///
/// # Errors
/// It never does.
pub async fn until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    is_so: impl Fn() -> F,
) -> anyhow::Result<()> {
    let since = Instant::now();
    while !is_so().await? {
        ensure!(since.elapsed() < 2 * PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
