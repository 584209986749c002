//! Client certificates. An API server presents one if its AdmissionConfiguration names one for webhooks.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::RustlsAcceptor;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tower::Layer as _;

/// The maximum number of connections. An API server needs one over HTTP/2, and has at most 600 requests in flight over
/// HTTP/1.1. Further connections are closed, to bound memory and stay below the limit of 1024 open files.
const CONNECTIONS: usize = 800;

/// The clients that may send reviews.
#[derive(Clone, Debug)]
pub struct TrustedClients {
    /// The file with the CA certificates that sign client certificates.
    ca: PathBuf,
    /// The accepted common names; if empty, any name is accepted.
    names: Vec<String>,
}

/// The authentication of a caller, attached to every request of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Client certificates are not required.
    Anyone,
    /// The caller presented a trusted certificate.
    Trusted,
    /// The caller presented no certificate, or one with another name.
    Untrusted,
}

impl TrustedClients {
    /// Clients with a certificate signed by this CA and, if `names` is not empty, with one of these common names.
    pub fn new(ca: &Path, names: &[String]) -> Self {
        TrustedClients { ca: ca.to_owned(), names: names.to_owned() }
    }

    /// The verifier of client certificates. A certificate is optional, because the kubelet presents none for probes.
    ///
    /// # Errors
    /// The CA file cannot be read, or contains no certificate.
    pub(super) fn verifier(&self) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let roots = super::roots(&super::certificates(&self.ca)?).context("--client-ca")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        verifier.allow_unauthenticated().build().context("--client-ca")
    }

    fn caller(&self, stream: &TlsStream<TcpStream>) -> Caller {
        let (_, connection) = stream.get_ref();
        let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else {
            return Caller::Untrusted;
        };
        if self.names.is_empty() {
            return Caller::Trusted;
        }
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return Caller::Untrusted;
        };
        let mut names = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        match names.any(|name| self.names.iter().any(|known| known == name)) {
            true => Caller::Trusted,
            false => Caller::Untrusted,
        }
    }
}

/// Performs TLS handshakes, and attaches the [`Caller`] to every request of a connection.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: Tls,
    clients: Option<TrustedClients>,
    free: Arc<Semaphore>,
}

/// Counts a connection until it is dropped.
#[derive(Clone)]
pub(crate) struct ConnectionGuard(
    #[expect(dead_code, reason = "the permit is released when it is dropped")] Arc<OwnedSemaphorePermit>,
);

impl Acceptor {
    pub(crate) fn new(tls: Tls, clients: Option<TrustedClients>) -> Self {
        Acceptor { tls, clients, free: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

type Tls = RustlsAcceptor<NoDelayAcceptor>;

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = TlsStream<TcpStream>;
    type Service =
        AddExtension<AddExtension<<Tls as Accept<TcpStream, S>>::Service, Caller>, ConnectionGuard>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let clients = self.clients.clone();
        let counted = self.free.clone().try_acquire_owned();
        let shaken = self.tls.accept(stream, service);
        Box::pin(async move {
            let counted = counted.map_err(|_| {
                tracing::warn!("closing a connection: the limit of {CONNECTIONS} connections is reached");
                io::Error::other("too many connections")
            })?;
            let (stream, service) = shaken.await?;
            let caller = clients.map_or(Caller::Anyone, |clients| clients.caller(&stream));
            let service = Extension(caller).layer(service);
            Ok((stream, Extension(ConnectionGuard(Arc::new(counted))).layer(service)))
        })
    }
}
