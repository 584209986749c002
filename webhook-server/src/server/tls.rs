//! Certificates and TLS configuration.

pub mod clients;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::Validity;
use clients::TrustedClients;

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
    /// Reads the chain and the key from PEM files.
    ///
    /// # Errors
    /// A file cannot be read, or contains no certificate or no key.
    pub fn from_files(cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = certificates(cert)?;
        let named = || format!("certificate: {}", key.display());
        let read =
            PrivateKeyDer::from_pem_file(key).context("no readable private key in it (is it encrypted?)");
        let key = read.with_context(named)?;
        Ok(Identity { chain, key })
    }

    /// Creates a self-signed certificate for the loopback addresses.
    ///
    /// # Errors
    /// `ip` is not a loopback address. A webhook that other hosts can reach needs a certificate that they trust.
    pub fn for_loopback(ip: IpAddr) -> anyhow::Result<Self> {
        if !ip.is_loopback() {
            bail!(
                "--listen {ip}: use --tls-cert and --tls-key, or --tls-service, to listen on an address other than loopback"
            );
        }
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).context("certificate")?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Identity { chain: vec![made.cert.der().clone()], key: key.into() })
    }

    /// A server configuration with this certificate: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// The key does not belong to the certificate.
    pub fn server(self) -> anyhow::Result<Arc<ServerConfig>> {
        self.server_for(None)
    }

    /// Like [`Identity::server`]. If `clients` is set, callers are requested to present a client certificate.
    ///
    /// # Errors
    /// The key does not belong to the certificate, or the client CA cannot be read.
    pub fn server_for(self, clients: Option<&TrustedClients>) -> anyhow::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients.verifier()?),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(self.chain, self.key).context(
            "certificate: the key does not match the certificate, or the type of the key is not supported",
        )?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The validity of the server's own certificate.
    ///
    /// # Errors
    /// The chain is empty, or the certificate is not valid X.509.
    pub fn validity(&self) -> anyhow::Result<Validity> {
        Validity::of(self.chain.first().context("certificate: the chain is empty")?)
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// The file cannot be read, or contains no certificate.
pub(crate) fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let named = || format!("certificate: {}", file.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).with_context(named)?;
    if found.is_empty() {
        bail!("certificate: {}: no PEM certificate in it", file.display());
    }
    Ok(found)
}

/// A client configuration that trusts only these certificates.
///
/// # Errors
/// A certificate is not valid.
pub fn trusting(certificates: &[CertificateDer<'static>]) -> anyhow::Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(certificates)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// # Errors
/// A certificate is not valid.
pub(super) fn roots(certificates: &[CertificateDer<'static>]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}
