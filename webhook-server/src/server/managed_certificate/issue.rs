//! Issues the CA and the certificate, with their lifetimes.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::time::ASN1Time;

use super::secret::CertificateAuthority;
use crate::certificate::Validity;

/// Lifetimes and intervals.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The lifetime of a CA.
    pub ca: Duration,
    /// The lifetime of a certificate.
    pub leaf: Duration,
    /// The tolerated clock skew: certificates are valid from this long before they are issued.
    pub skew: Duration,
    /// How long a new CA is trusted before it signs a certificate.
    pub spread: Duration,
    /// The interval between rounds.
    pub round: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Lifetimes {
            ca: Duration::from_secs(3 * 365 * DAY),
            leaf: Duration::from_secs(90 * DAY),
            skew: Duration::from_secs(5 * 60),
            spread: Duration::from_secs(5 * 60),
            round: Duration::from_secs(10),
        }
    }
}

impl Lifetimes {
    /// Creates a CA for the webhook with this name, and its key.
    pub(super) fn authority(&self, name: &str, now: i64) -> anyhow::Result<(CertificateAuthority, KeyPair)> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        // Each CA has a unique name, so that a certificate is not verified against the wrong CA.
        parameters.distinguished_name.push(DnType::CommonName, format!("pratique {name} {now}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        self.date(&mut parameters, now, now + seconds(self.ca))?;
        let der = parameters.self_signed(&key)?.der().clone();
        let validity = Validity::of(&der)?;
        Ok((CertificateAuthority { der, validity }, key))
    }

    /// Issues a certificate for these names. Returns the certificate and its key, as PEM.
    pub(super) fn leaf(
        &self,
        ca: &CertificateAuthority,
        ca_key: &KeyPair,
        names: LeafNames<'_>,
        now: i64,
    ) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names.alternative)?;
        parameters.distinguished_name.push(DnType::CommonName, names.common);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // The certificate must not outlive the CA.
        self.date(&mut parameters, now, (now + seconds(self.leaf)).min(ca.validity.not_after))?;
        let issuer = Issuer::from_ca_cert_der(&ca.der, ca_key)?;
        Ok((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    fn date(&self, parameters: &mut CertificateParams, now: i64, end: i64) -> anyhow::Result<()> {
        parameters.not_before = ASN1Time::from_timestamp(now - seconds(self.skew))?.to_datetime();
        parameters.not_after = ASN1Time::from_timestamp(end)?.to_datetime();
        Ok(())
    }
}

/// The names in a certificate.
pub(super) struct LeafNames<'n> {
    /// The common name.
    pub(super) common: &'n str,
    /// The subject alternative names.
    pub(super) alternative: Vec<String>,
}

/// Whether two thirds of the validity period are over.
pub(super) fn is_due(validity: Validity, now: i64) -> bool {
    now - validity.not_before >= (validity.not_after - validity.not_before) / 3 * 2
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
