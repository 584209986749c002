//! Who may call: an API server shows a client certificate where its AdmissionConfiguration names one for its webhooks.

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

/// How many connections there may be: an API server needs one over HTTP/2, and has no more than 600 requests in flight over
/// HTTP/1.1. What comes beyond is closed before it costs memory, or one of the 1024 files that a process may have open.
const CONNECTIONS: usize = 800;

/// The callers that are believed.
#[derive(Clone, Debug)]
pub struct TrustedClients {
    /// The certificates of those who may sign theirs.
    ca: PathBuf,
    /// Their common names; any, if there are none.
    names: Vec<String>,
}

/// What is known of a caller, on every request of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody asked.
    Anyone,
    /// It has shown a certificate that is believed.
    Trusted,
    /// It has shown none, or one with another name.
    Stranger,
}

impl TrustedClients {
    /// Those with a certificate of that CA, and one of these names, if there are any.
    pub fn new(ca: &Path, names: &[String]) -> Self {
        TrustedClients { ca: ca.to_owned(), names: names.to_owned() }
    }

    /// What verifies their certificates. A caller may show none: a kubelet does not when it probes.
    ///
    /// # Errors
    /// The file cannot be read, or has no certificate in it.
    pub(super) fn verifier(&self) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let roots = super::roots(&super::certificates(&self.ca)?).context("--client-ca")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        verifier.allow_unauthenticated().build().context("--client-ca")
    }

    fn caller(&self, stream: &TlsStream<TcpStream>) -> Caller {
        let (_, connection) = stream.get_ref();
        let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else {
            return Caller::Stranger;
        };
        if self.names.is_empty() {
            return Caller::Trusted;
        }
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return Caller::Stranger;
        };
        let mut names = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        match names.any(|name| self.names.iter().any(|known| known == name)) {
            true => Caller::Trusted,
            false => Caller::Stranger,
        }
    }
}

/// Shakes hands, and says of every request on the connection who calls.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: Tls,
    clients: Option<TrustedClients>,
    free: Arc<Semaphore>,
}

/// A connection that is counted, until this is dropped with it.
#[derive(Clone)]
pub(crate) struct ConnectionGuard(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<OwnedSemaphorePermit>,
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
                tracing::warn!("a connection is refused: there are {CONNECTIONS} already");
                io::Error::other("there are too many connections")
            })?;
            let (stream, service) = shaken.await?;
            let caller = clients.map_or(Caller::Anyone, |clients| clients.caller(&stream));
            let service = Extension(caller).layer(service);
            Ok((stream, Extension(ConnectionGuard(Arc::new(counted))).layer(service)))
        })
    }
}
