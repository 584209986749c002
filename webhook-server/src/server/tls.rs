//! Certificates and what is negotiated with them.

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
    pub fn server_for(self, clients: Option<&TrustedClients>) -> anyhow::Result<Arc<ServerConfig>> {
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
pub(super) fn roots(certificates: &[CertificateDer<'static>]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}
