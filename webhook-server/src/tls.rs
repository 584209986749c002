//! Certificates and what is negotiated with them.

pub mod clients;
pub mod managed;

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use axum_server::tls_rustls::RustlsConfig;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::clock;
use crate::files::{Files, aside};
use crate::webhook::Webhook;
use clients::Clients;

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Identity {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// A file that cannot be read, or has no certificate or no key in it.
    pub fn from_files(cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = certificates(cert)?;
        let named = || format!("certificate: {}", key.display());
        let read = PrivateKeyDer::from_pem_file(key)
            .context("no private key that can be read in it (is it encrypted?)");
        let key = read.with_context(named)?;
        Ok(Identity { chain, key })
    }

    /// Makes one for the loopback addresses, that nobody else trusts.
    ///
    /// # Errors
    /// `ip` is not a loopback address: a webhook that others reach needs a certificate that they trust.
    pub fn for_loopback(ip: IpAddr) -> anyhow::Result<Self> {
        if !ip.is_loopback() {
            bail!(
                "--listen {ip}: without --tls-cert and --tls-key, or --tls-service, only a loopback address can be served"
            );
        }
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).context("certificate")?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Identity { chain: vec![made.cert.der().clone()], key: key.into() })
    }

    /// What a server needs to use it: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub fn server(self) -> anyhow::Result<Arc<ServerConfig>> {
        self.server_for(None)
    }

    /// The same; where these clients are given, callers are asked for a certificate.
    ///
    /// # Errors
    /// As [`Identity::server`].
    pub fn server_for(self, clients: Option<&Clients>) -> anyhow::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients.verifier()?),
            None => config.with_no_client_auth(),
        };
        let mut config = config
            .with_single_cert(self.chain, self.key)
            .context(
                "certificate: the key and the certificate do not belong together, or the key is of a kind that is not supported",
            )?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// How long it may be used.
    ///
    /// # Errors
    /// There is no certificate, or it cannot be read as X.509.
    pub fn validity(&self) -> anyhow::Result<Validity> {
        Validity::of(self.chain.first().context("certificate: the chain is empty")?)
    }
}

/// From when until when a certificate may be used, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last.
    pub not_after: i64,
}

impl Validity {
    /// That of a certificate.
    ///
    /// # Errors
    /// It cannot be read as X.509.
    pub fn of(certificate: &CertificateDer<'_>) -> anyhow::Result<Self> {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let (_, parsed) = parsed.context("certificate: it cannot be read as X.509")?;
        let validity = parsed.validity();
        Ok(Validity {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// What is the matter with it at a time, if anything is.
    pub fn problem(&self, now: i64) -> Option<&'static str> {
        match self {
            Validity { not_after, .. } if now > *not_after => {
                Some("the certificate that is served has expired")
            }
            Validity { not_before, .. } if now < *not_before => {
                Some("the certificate that is served is not valid yet")
            }
            _ => None,
        }
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// It cannot be read, or has none in it.
pub(crate) fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let named = || format!("certificate: {}", file.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).with_context(named)?;
    if found.is_empty() {
        bail!("certificate: {}: no PEM certificate in it", file.display());
    }
    Ok(found)
}

/// A server whose certificate can be replaced while it serves, and the webhook behind it that must know how long that lasts.
#[derive(Clone)]
pub struct Served {
    config: RustlsConfig,
    clients: Option<Clients>,
    webhook: Webhook,
    /// What is shown: it is shown anew where other clients are to be believed.
    shown: Arc<Mutex<Identity>>,
}

impl Served {
    /// A server that shows that certificate.
    pub(crate) fn new(
        config: RustlsConfig,
        clients: Option<Clients>,
        webhook: Webhook,
        shown: Identity,
    ) -> Self {
        Served { config, clients, webhook, shown: Arc::new(Mutex::new(shown)) }
    }

    /// Shows that certificate from now on to whoever connects.
    ///
    /// # Errors
    /// It cannot be used; what was shown before goes on being shown.
    pub fn show(&self, identity: Identity) -> anyhow::Result<()> {
        let validity = identity.validity()?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(identity.clone().server_for(self.clients.as_ref())?);
        *shown = identity;
        self.webhook.set_certificate(validity);
        Ok(())
    }

    /// Shows that certificate, unless it has expired and the one that is shown has not. One that is not valid yet may be so by
    /// another clock.
    fn show_better(&self, identity: Identity) -> anyhow::Result<()> {
        let ends = |identity: &Identity| identity.validity().map(|validity| validity.not_after);
        let shown = ends(&self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        let (new, now) = (ends(&identity)?, clock::now());
        if new < now && shown.is_ok_and(|shown| shown >= now) {
            bail!("the new one has expired already, and the one that is served has not");
        }
        self.show(identity)
    }

    /// Shows the same to those who are believed now.
    fn show_again(&self) -> anyhow::Result<()> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(shown.clone().server_for(self.clients.as_ref())?);
        Ok(())
    }

    /// Believes the clients of the file, whenever that changes.
    pub(crate) async fn follow_clients(self, mut file: Files) {
        loop {
            file.changed().await;
            let this = self.clone();
            match aside(move || this.show_again()).await {
                Ok(()) => tracing::info!("believing the clients of the new --client-ca"),
                Err(error) => self.failed("the clients that are believed are", &error),
            }
        }
    }

    /// Counts and says that something stays as it was.
    fn failed(&self, what: &str, error: &anyhow::Error) {
        self.webhook.metrics().certificate_failed();
        tracing::error!("{what} not replaced: {error:#}");
    }

    /// Shows what is in the files, whenever that changes. A pair that is half written, or does not belong together, is left
    /// alone and counted.
    pub(crate) async fn follow(self, mut files: Files, cert: &Path, key: &Path) {
        loop {
            files.changed().await;
            let (this, cert_now, key) = (self.clone(), cert.to_owned(), key.to_owned());
            let show = move || this.show_better(Identity::from_files(&cert_now, &key)?);
            match aside(show).await {
                Ok(()) => tracing::info!("serving the new certificate of {}", cert.display()),
                Err(error) => self.failed("the certificate is", &error),
            }
        }
    }
}

/// Certificates as PEM (RFC 7468).
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let pems = certificates.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()));
    pem::encode_many_config(&pems.collect::<Vec<_>>(), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// What a client needs to trust these certificates and no others.
///
/// # Errors
/// One of them is no certificate.
pub fn trusting(certificates: &[CertificateDer<'static>]) -> anyhow::Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(certificates)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// # Errors
/// One of them is no certificate.
fn roots(certificates: &[CertificateDer<'static>]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}
