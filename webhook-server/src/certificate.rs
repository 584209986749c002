//! Certificates: their validity and their PEM encoding.

use anyhow::Context as _;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::CertificateDer;

/// The validity period of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Validity {
    /// The validity of a certificate.
    ///
    /// # Errors
    /// The certificate is not valid X.509.
    pub fn of(certificate: &CertificateDer<'_>) -> anyhow::Result<Self> {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let (_, parsed) = parsed.context("certificate: not a valid X.509 certificate")?;
        let validity = parsed.validity();
        Ok(Validity {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Why the certificate is not valid at a time, or `None` if it is.
    pub fn problem(&self, now: i64) -> Option<&'static str> {
        match self {
            Validity { not_after, .. } if now > *not_after => Some("the server certificate has expired"),
            Validity { not_before, .. } if now < *not_before => {
                Some("the server certificate is not valid yet")
            }
            _ => None,
        }
    }
}

/// Certificates as PEM (RFC 7468).
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let pems = certificates.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()));
    pem::encode_many_config(&pems.collect::<Vec<_>>(), EncodeConfig::new().set_line_ending(LineEnding::LF))
}
