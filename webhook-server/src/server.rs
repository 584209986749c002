//! `pratique serve`: runs the webhook over TLS, from startup to graceful shutdown.

mod certificate_reload;
pub mod client;
pub mod cluster;
pub(crate) mod file_watcher;
pub mod managed_certificate;
pub mod metrics;
mod reload;
mod signals;
pub mod telemetry;
pub mod tls;
pub mod webhook;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use policy_core::PolicyMetadata;
use rustls::ServerConfig;

use crate::args::{ExitStatus, ServeArgs, TlsArgs};
use crate::clock::now;
use crate::config::Config;
use certificate_reload::ServedCertificate;
use cluster::{WatchedCluster, client};
use file_watcher::WatchedFiles;
use managed_certificate::{Lifetimes, ManagedCertificate};
use signals::Signals;
use telemetry::TraceExporter;
use tls::Identity;
use tls::clients::{Acceptor, TrustedClients};
use webhook::Webhook;

/// How long in-flight requests may take after the server stops accepting new ones. Together with the drain period it is less
/// than the 30 seconds of a pod's default `terminationGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(20);

/// The read buffer of an HTTP/1 connection, and the initial window of an HTTP/2 stream, in bytes.
const READ: usize = 64 * 1024;

/// How long a new connection may take until its first request.
const FIRST: Duration = Duration::from_secs(30);

/// How long a used connection may be idle, or take to send the headers of its next request. An API server closes idle connections
/// after 90 s (Go's `net/http.DefaultTransport`). It must close first, because a request may be lost if the server does.
const IDLE: Duration = Duration::from_secs(120);

/// A running server.
pub struct Server {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The TLS configuration; it can be replaced while the server runs.
    tls: RustlsConfig,
    handle: Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts a server on a listener.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start(listener: TcpListener, config: Arc<ServerConfig>, router: Router) -> anyhow::Result<Self> {
        Server::start_for(None, listener, config, router)
    }

    /// Like [`Server::start`]. If `clients` is set, every request carries a [`Caller`](tls::clients::Caller).
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start_for(
        clients: Option<TrustedClients>,
        listener: TcpListener,
        config: Arc<ServerConfig>,
        router: Router,
    ) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let tls = RustlsConfig::from_config(config);
        // Nagle's algorithm would delay the last part of a handshake or a response by 40 ms.
        let acceptor = RustlsAcceptor::new(tls.clone()).acceptor(NoDelayAcceptor::new());
        let acceptor = Acceptor::new(acceptor, clients);
        let server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone());
        let mut server = server.first_request_timeout(FIRST);
        let mut http1 = server.http_builder().http1();
        http1.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(READ);
        let mut http2 = server.http_builder().http2();
        http2.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        http2.initial_stream_window_size(READ as u32);
        let task = tokio::spawn(server.serve(router.into_make_service()));
        Ok(Server { address, tls, handle, task })
    }

    /// A handle to replace the certificate and the trusted clients of this server while it runs.
    pub fn served(
        &self,
        clients: Option<TrustedClients>,
        webhook: Webhook,
        shown: Identity,
    ) -> ServedCertificate {
        ServedCertificate::new(self.tls.clone(), clients, webhook, shown)
    }

    /// Stops accepting connections, and waits until the in-flight requests are answered.
    ///
    /// # Errors
    /// The server failed before.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.handle.graceful_shutdown(Some(GRACE));
        Ok(self.task.await??)
    }
}

/// Runs the command until SIGTERM or SIGINT.
///
/// # Errors
/// The server cannot start, for example because of invalid settings, an invalid certificate or an address in use.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitStatus> {
    let log = telemetry::log(args.log_format);
    let given = args.cluster.is_given();
    // Start watching the files before they are read, so that no change is missed.
    let policies = args.selection.config.clone().map(|file| WatchedFiles::new([file]));
    let certificate = Certificate::of(args)?;
    let config = Config::load(&args.selection, given)?.serving()?;
    let (names, reads) = (config.names().join(", "), reload::fields(&config.reads()));
    warn_without_cluster(&config, given);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let webhook = match given {
        true => {
            let watched = WatchedCluster::for_policies(&config, &args.cluster);
            watched.start(args.cluster.kubeconfig.as_deref())?;
            Webhook::watching(config, Arc::new(watched))
        }
        false => Webhook::new(config),
    };
    webhook.metrics().config(true);
    webhook.metrics().log(log.dropped());
    let listener = TcpListener::bind(args.listen).with_context(|| format!("--listen {}", args.listen))?;
    let metrics = args
        .metrics_listen
        .map(|address| TcpListener::bind(address).with_context(|| format!("--metrics-listen {address}")));
    let metrics = metrics.transpose()?;
    runtime.block_on(async {
        let mut end = Signals::new()?;
        if let Some(endpoint) = &args.otlp_endpoint {
            webhook.trace(TraceExporter::to(endpoint)?);
        }
        let server = tokio::select! {
            server = certificate.serve(args, listener, &webhook) => server?,
            () = end.wait() => return Ok(()),
        };
        tracing::info!("serving {names} on https://{}", server.address);
        if let Some(files) = policies {
            tokio::spawn(reload::follow(files, args.clone(), webhook.clone(), reads));
        }
        if let Some(listener) = metrics {
            tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
            webhook.metrics().serve(listener)?;
        }
        end.wait().await;
        webhook.set_ready(false);
        tracing::info!("shutting down, no longer ready");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.drain)) => {}
            () = end.wait() => {}
        }
        server.stop().await
    })?;
    if let Some(traces) = webhook.traces() {
        traces.end();
    }
    // Do not wait for threads that are blocked reading a file.
    runtime.shutdown_background();
    Ok(ExitStatus::Success)
}

/// The source of the certificate.
enum Certificate {
    /// PEM files, watched for changes.
    Files { cert: PathBuf, key: PathBuf, files: WatchedFiles },
    /// A managed Secret for the Service with this namespace and name.
    Service(String, String),
    /// A self-signed certificate, created at startup.
    Loopback,
}

impl Certificate {
    fn of(args: &ServeArgs) -> anyhow::Result<Self> {
        let TlsArgs { tls_cert, tls_key, tls_service, .. } = &args.tls;
        Ok(match (tls_cert, tls_key, tls_service) {
            (Some(cert), Some(key), _) => {
                let files = WatchedFiles::new([cert, key].into_iter().cloned());
                Certificate::Files { cert: cert.clone(), key: key.clone(), files }
            }
            (_, _, Some((namespace, name))) => {
                ensure!(
                    args.cluster.is_given(),
                    "--tls-service needs a cluster: --in-cluster or --kubeconfig"
                );
                Certificate::Service(namespace.clone(), name.clone())
            }
            _ => Certificate::Loopback,
        })
    }

    /// Starts the server with the certificate, and replaces the certificate when it changes.
    async fn serve(
        self,
        args: &ServeArgs,
        listener: TcpListener,
        webhook: &Webhook,
    ) -> anyhow::Result<Server> {
        let ca = args.tls.client_ca.as_deref();
        let clients = ca
            .map(|ca| (TrustedClients::new(ca, &args.tls.client_names), WatchedFiles::new([ca.to_owned()])));
        let (clients, client_files) = clients.unzip();
        let managed = match &self {
            Certificate::Service(namespace, name) => {
                let client = client(args.cluster.kubeconfig.as_deref()).await?;
                let managed = ManagedCertificate::new(
                    client,
                    namespace,
                    name,
                    &args.tls.registered_as,
                    Lifetimes::default(),
                );
                Some(managed.with_names(&args.tls.tls_names))
            }
            _ => None,
        };
        let identity = match (&self, &managed) {
            (_, Some(managed)) => managed.start().await.context("--tls-service")?,
            (Certificate::Files { cert, key, .. }, _) => Identity::from_files(cert, key)?,
            _ => {
                tracing::info!("created a self-signed certificate for localhost");
                Identity::for_loopback(args.listen.ip())?
            }
        };
        let chain = identity.chain.clone();
        let validity = identity.validity()?;
        if let Some(problem) = validity.problem(now()) {
            tracing::error!("{problem}: clients will reject it, and the webhook is not ready");
        }
        webhook.set_certificate(validity);
        let tls = identity.clone().server_for(clients.as_ref())?;
        let server = Server::start_for(clients.clone(), listener, tls, webhook.router())?;
        let served = server.served(clients, webhook.clone(), identity);
        if let Some(files) = client_files {
            tokio::spawn(served.clone().follow_clients(files));
        }
        match (self, managed) {
            (_, Some(managed)) => drop(tokio::spawn(managed.keep(served, chain))),
            (Certificate::Files { cert, key, files }, _) => {
                drop(tokio::spawn(async move { served.follow(files, &cert, &key).await }));
            }
            _ => {}
        }
        Ok(server)
    }
}

/// Logs the effects on policies if no cluster is configured.
fn warn_without_cluster(config: &Config, given: bool) {
    if given {
        return;
    }
    for name in &config.skipped {
        tracing::warn!("skipped {name}: it needs cluster data (--kubeconfig, --in-cluster)");
    }
    if config.needs_labels() {
        tracing::warn!(
            "no cluster is configured (--kubeconfig, --in-cluster): policies with a namespaceSelector on labels cannot be evaluated"
        );
    }
    for metadata in config.requested().into_iter().filter(|metadata| !metadata.reads.is_empty()) {
        let PolicyMetadata { name, reads, .. } = metadata;
        let kinds: Vec<&str> = reads.iter().map(|read| read.kind).collect();
        let follows = match metadata.needs_cluster() {
            true => "cannot be evaluated, because it needs the cluster's",
            false => "runs without the cluster's",
        };
        tracing::warn!("no cluster is configured: {name} {follows} {} objects", kinds.join(", "));
    }
}
