//! The contents of the Secret: the trusted CAs, the key of the signing CA, the certificate and its key.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::certificate::{Validity, to_pem};
use crate::server::tls::{Identity, roots};

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The contents of the Secret.
pub(super) struct StoredCertificates {
    /// The trusted CAs; the first one signs.
    pub(super) cas: Vec<CertificateAuthority>,
    pub(super) ca_key: String,
    pub(super) cert: String,
    pub(super) key: String,
}

/// A CA certificate.
#[derive(Clone)]
pub(super) struct CertificateAuthority {
    pub(super) der: CertificateDer<'static>,
    pub(super) validity: Validity,
}

impl CertificateAuthority {
    /// Parses a certificate; `None` if it is not valid X.509.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let validity = Validity::of(&der).ok()?;
        Some(CertificateAuthority { der, validity })
    }
}

impl StoredCertificates {
    /// Reads a Secret; `None` if any part of it cannot be used.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let read = || {
            let (cas, ca_key, cert, key) = (text(CA_CERT)?, text(CA_KEY)?, text(CERT)?, text(KEY)?);
            let cas = CertificateDer::pem_slice_iter(cas.as_bytes());
            let cas: Option<Vec<CertificateAuthority>> =
                cas.map(|der| CertificateAuthority::read(der.ok()?)).collect();
            Some(StoredCertificates { cas: cas?, ca_key, cert, key })
        };
        let reconcile = read()?;
        reconcile.identity().ok()?.server().ok()?;
        (reconcile.signs()? && reconcile.is_signed_by_trusted_ca()?).then_some(reconcile)
    }

    /// Whether `ca_key` belongs to the signing CA.
    fn signs(&self) -> Option<bool> {
        let ca = &self.cas.first()?.der;
        let (_, parsed) = x509_parser::parse_x509_certificate(ca).ok()?;
        let key = KeyPair::from_pem(&self.ca_key).ok()?;
        Some(key.subject_public_key_info() == parsed.public_key().raw)
    }

    /// Whether one of the CAs signed the certificate, even if it has expired.
    fn is_signed_by_trusted_ca(&self) -> Option<bool> {
        let roots = roots(&self.trusted()).ok()?;
        let (validity, names) = self.leaf()?;
        let name = ServerName::try_from(names.into_iter().next()?).ok()?;
        let chain = self.identity().ok()?.chain;
        let (leaf, others) = chain.split_first()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        let during = UnixTime::since_unix_epoch(Duration::from_secs(validity.not_after.try_into().ok()?));
        Some(verifier.verify_server_cert(leaf, others, &name, &[], during).is_ok())
    }

    pub(super) fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        for (key, text) in
            [(CA_CERT, &self.bundle()), (CA_KEY, &self.ca_key), (CERT, &self.cert), (KEY, &self.key)]
        {
            data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
        }
    }

    /// The validity and the names of the certificate.
    pub(super) fn leaf(&self) -> Option<(Validity, Vec<String>)> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let names = parsed.subject_alternative_name().ok()??.value.general_names.iter();
        let mut names: Vec<String> = names.filter_map(name).collect();
        names.sort();
        Some((Validity::of(&der).ok()?, names))
    }

    /// The trusted CAs, as PEM.
    pub(super) fn bundle(&self) -> String {
        to_pem(&self.trusted())
    }

    fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.cas.iter().map(|ca| ca.der.clone()).collect()
    }

    pub(super) fn identity(&self) -> anyhow::Result<Identity> {
        let chain = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        Ok(Identity { chain, key: PrivateKeyDer::from_pem_slice(self.key.as_bytes())? })
    }
}

/// A DNS name or IP address of a certificate, as text.
fn name(name: &x509_parser::extensions::GeneralName<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
