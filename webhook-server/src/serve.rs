//! `pratique serve`: the webhook as a process, on TLS, from its start to the last answer.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use policy_core::About;
use rustls::ServerConfig;

use crate::args::{ClusterArgs, End, ServeArgs};
use crate::cluster::Watched;
use crate::config::Config;
use crate::tls::Identity;
use crate::tls::reload::Files;
use crate::webhook::Webhook;

/// How long what is in flight may take after the last request was accepted. With the draining before it, it fits the
/// 30 seconds that Kubernetes grants a pod.
const GRACE: Duration = Duration::from_secs(20);

/// A webhook that is being served.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it shows; can be replaced while it serves.
    tls: RustlsConfig,
    handle: Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts to serve on a listener.
    ///
    /// # Errors
    /// The listener is unusable.
    pub fn start(listener: TcpListener, config: Arc<ServerConfig>, router: Router) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        // Nagle's algorithm would hold back the last part of a handshake or an answer for 40 ms.
        let tls = RustlsConfig::from_config(config);
        let acceptor = RustlsAcceptor::new(tls.clone()).acceptor(NoDelayAcceptor::new());
        let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        server.http_builder().http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        let task = tokio::spawn(server.serve(router.into_make_service()));
        Ok(Server { address, tls, handle, task })
    }

    /// Stops accepting, answers what is in flight, and returns when that is done.
    ///
    /// # Errors
    /// The server had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.handle.graceful_shutdown(Some(GRACE));
        Ok(self.task.await??)
    }
}

/// Runs the command, until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start: bad settings, bad certificate, an address in use.
pub fn run(args: &ServeArgs) -> anyhow::Result<End> {
    let given = args.cluster.kubeconfig.is_some() || args.cluster.in_cluster;
    let config = Config::load(&args.selection, given)?;
    // Before they are read, so that no change of them is missed.
    let files =
        args.tls_cert.as_deref().zip(args.tls_key.as_deref()).map(|(cert, key)| Files::new(cert, key));
    let identity = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Identity::from_files(cert, key)?,
        _ => {
            let identity = Identity::for_loopback(args.listen.ip())?;
            anstream::eprintln!("pratique: made a certificate for localhost that nobody else trusts");
            identity
        }
    };
    let names: Vec<&str> = config.policies.iter().map(|configured| configured.about.name).collect();
    if !given {
        warn_of_ignorance(&config);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let webhook = match given {
        true => watch(config, &args.cluster)?,
        false => Webhook::new(config),
    };
    webhook.metrics().certificate(identity.chain.first().context("certificate: the chain is empty")?)?;
    let tls = identity.server()?;
    let listener = TcpListener::bind(args.listen).with_context(|| format!("--listen {}", args.listen))?;
    let metrics = args
        .metrics_listen
        .map(|address| TcpListener::bind(address).with_context(|| format!("--metrics-listen {address}")));
    let metrics = metrics.transpose()?;
    runtime.block_on(async {
        let mut end = Signals::new()?;
        let server = Server::start(listener, tls, webhook.router())?;
        anstream::eprintln!("pratique: serving {} on https://{}", names.join(", "), server.address);
        if let Some(files) = files {
            tokio::spawn(files.watch(server.tls.clone(), webhook.metrics().clone()));
        }
        if let Some(listener) = metrics {
            anstream::eprintln!("pratique: metrics on http://{}/metrics", listener.local_addr()?);
            webhook.metrics().serve(listener)?;
        }
        end.wait().await;
        webhook.set_ready(false);
        anstream::eprintln!("pratique: shutting down, no longer ready");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.drain)) => {}
            () = end.wait() => {}
        }
        server.stop().await
    })?;
    Ok(End::Well)
}

/// A webhook that watches the cluster.
fn watch(config: Config, args: &ClusterArgs) -> anyhow::Result<Webhook> {
    let reads = config.policies.iter().flat_map(|configured| configured.about.reads).copied();
    let watched = Watched::new(reads, Duration::from_secs(args.stale_after), args.when_stale);
    watched.start(args.kubeconfig.as_deref())?;
    let watched = Arc::new(watched);
    Ok(Webhook::watching(config, watched))
}

/// Says what policies cannot do without a cluster.
fn warn_of_ignorance(config: &Config) {
    for name in &config.unasked {
        anstream::eprintln!(
            "pratique: {name} is not asked: it can decide nothing without a cluster (--kubeconfig, --in-cluster)"
        );
    }
    for configured in config.policies.iter().filter(|configured| !configured.about.reads.is_empty()) {
        let About { name, reads, needs_cluster, .. } = configured.about;
        let kinds: Vec<&str> = reads.iter().map(|read| read.kind).collect();
        let follows = match needs_cluster {
            true => "denies what it is asked, for it cannot look up",
            false => "does without what it would look up:",
        };
        anstream::eprintln!("pratique: no cluster is known here: {name} {follows} {}", kinds.join(", "));
    }
}

/// The signals that end the process; a second one cuts the draining short.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
