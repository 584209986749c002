//! What the Secret of a webhook holds: the CAs that are trusted, the key of the one that signs, a certificate and its key.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::{Identity, Validity};

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What the Secret holds.
pub(super) struct Held {
    /// The CAs that are trusted, the one that signs first.
    pub(super) cas: Vec<Authority>,
    pub(super) ca_key: String,
    pub(super) cert: String,
    pub(super) key: String,
}

#[derive(Clone)]
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    pub(super) validity: Validity,
}

impl Held {
    /// What is in a Secret, if all of it can be used.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let read = || {
            let (cas, ca_key, cert, key) = (text(CA_CERT)?, text(CA_KEY)?, text(CERT)?, text(KEY)?);
            let cas: Option<Vec<Authority>> = CertificateDer::pem_slice_iter(cas.as_bytes())
                .map(|der| {
                    let der = der.ok()?;
                    let validity = Validity::of(&der).ok()?;
                    Some(Authority { der, validity })
                })
                .collect();
            Some(Held { cas: cas?, ca_key, cert, key })
        };
        let held = read()?;
        KeyPair::from_pem(&held.ca_key).ok()?;
        held.leaf()?;
        held.identity().ok()?.server().ok()?;
        Some(held)
    }

    pub(super) fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        for (key, text) in
            [(CA_CERT, &self.bundle()), (CA_KEY, &self.ca_key), (CERT, &self.cert), (KEY, &self.key)]
        {
            data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
        }
    }

    /// How long the certificate may be used, and for which names.
    pub(super) fn leaf(&self) -> Option<(Validity, Vec<String>)> {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let names = parsed.subject_alternative_name().ok()??.value.general_names.iter();
        let mut names: Vec<String> = names.filter_map(name).collect();
        names.sort();
        Some((Validity::of(&der).ok()?, names))
    }

    /// The CAs that are trusted, as PEM.
    pub(super) fn bundle(&self) -> String {
        let pems = self.cas.iter().map(|ca| Pem::new("CERTIFICATE", ca.der.as_ref()));
        pem::encode_many_config(
            &pems.collect::<Vec<_>>(),
            EncodeConfig::new().set_line_ending(LineEnding::LF),
        )
    }

    pub(super) fn identity(&self) -> anyhow::Result<Identity> {
        let chain = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        Ok(Identity { chain, key: PrivateKeyDer::from_pem_slice(self.key.as_bytes())? })
    }
}

/// A name of a certificate, as it was given.
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
