//! Certificates: how long they are valid, and their form as text.

use anyhow::Context as _;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::CertificateDer;

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

/// Certificates as PEM (RFC 7468).
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let pems = certificates.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()));
    pem::encode_many_config(&pems.collect::<Vec<_>>(), EncodeConfig::new().set_line_ending(LineEnding::LF))
}
