//! A certificate that the webhook makes itself, for clusters without cert-manager: a CA and a certificate in a Secret that all
//! replicas share, renewed at two thirds of their life, and the CA in the webhook configurations.
//!
//! A renewed CA is trusted before anything is signed by it: it is put beside the old one, and the API server has some time to
//! hear of it, before the next certificate is made.

mod held;
mod trust;

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use x509_parser::time::ASN1Time;

use super::{Identity, Served, Validity};
use held::{Authority, Held};

/// How often another replica may have been faster before it is an error.
const TRIES: usize = 5;

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// A CA.
    pub ca: Duration,
    /// A certificate.
    pub leaf: Duration,
    /// How far clocks may differ: what is made is valid from before now.
    pub skew: Duration,
    /// How long a new CA is known before something is signed by it.
    pub spread: Duration,
    /// How often all of it is looked at.
    pub round: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Lives {
            ca: Duration::from_secs(3 * 365 * DAY),
            leaf: Duration::from_secs(90 * DAY),
            skew: Duration::from_secs(5 * 60),
            spread: Duration::from_secs(5 * 60),
            round: Duration::from_secs(10),
        }
    }
}

/// Whose certificate it is, and who must trust it.
#[derive(Clone)]
pub struct Managed {
    client: Client,
    namespace: String,
    /// The Service.
    name: String,
    /// Of the webhook configurations.
    configuration: String,
    lives: Lives,
    /// Beside those of the Service, for a webhook that is called by URL.
    more_names: Vec<String>,
}

impl Managed {
    /// The certificate of the Service `name`, in the Secret `name-tls` beside it.
    pub fn new(client: Client, namespace: &str, name: &str, configuration: &str, lives: Lives) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Managed {
            client,
            namespace,
            name,
            configuration: configuration.to_owned(),
            lives,
            more_names: Vec::new(),
        }
    }

    /// The same, also for these names and addresses.
    #[must_use]
    pub fn also_for(mut self, names: &[String]) -> Self {
        names.clone_into(&mut self.more_names);
        self
    }

    /// Looks at all of it once: makes what is missing, renews what is due, and has the webhook configurations trust it.
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The API server does not answer, or does not let this be done.
    pub async fn round(&self, now: i64) -> anyhow::Result<Identity> {
        for _ in 0..TRIES {
            let Some(held) = self.hold(now).await? else { continue };
            trust::trust(&self.client, &self.configuration, held.bundle()).await?;
            return held.identity();
        }
        bail!("Secret {}/{}: it changes whenever it is to be changed here", self.namespace, self.secret())
    }

    /// Goes on with it until the process ends, and shows what is new.
    pub async fn keep(self, served: Served, mut shown: Vec<CertificateDer<'static>>) {
        loop {
            tokio::time::sleep(self.lives.round).await;
            let renewed = self.round(now()).await.and_then(|identity| {
                let chain = identity.chain.clone();
                if chain != shown {
                    served.show(identity)?;
                    tracing::info!(
                        "serving a new certificate of Secret {}/{}",
                        self.namespace,
                        self.secret()
                    );
                    shown = chain;
                }
                Ok(())
            });
            if let Err(error) = renewed {
                served.webhook.metrics().certificate_failed();
                tracing::error!("the certificate cannot be looked after: {error:#}");
            }
        }
    }

    fn secret(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// What the Secret holds once nothing in it is due; `None` where another replica was faster.
    async fn hold(&self, now: i64) -> anyhow::Result<Option<Held>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let named = || format!("Secret {}/{}", self.namespace, self.secret());
        let found = api.get_opt(&self.secret()).await.with_context(named)?;
        let held = found.as_ref().and_then(Held::read);
        if found.is_some() && held.is_none() {
            tracing::warn!("{} holds no certificate that can be used: it is made anew", named());
        }
        let held = match held {
            Some(held) if self.is_well(&held, now) => return Ok(Some(held)),
            Some(held) => self.renew(held, now)?,
            None => self.make(now)?,
        };
        let mut secret = found.clone().unwrap_or_else(|| Secret {
            metadata: ObjectMeta { name: Some(self.secret()), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        held.write(&mut secret);
        let parameters = PostParams::default();
        let written = match found {
            // With the version that was read: whoever comes second is refused.
            Some(_) => api.replace(&self.secret(), &parameters, &secret).await,
            None => api.create(&parameters, &secret).await,
        };
        match written {
            Ok(_) => Ok(Some(held)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error).with_context(named),
        }
    }

    fn is_well(&self, held: &Held, now: i64) -> bool {
        let Some(ca) = held.cas.first() else { return false };
        let expired = held.cas.iter().any(|ca| now > ca.validity.not_after);
        !expired && !is_due(ca.validity, now) && !self.leaf_is_due(held, now)
    }

    /// Whether a certificate is to be made now. Not by a CA that is too new to be known everywhere, if the old certificate does.
    fn leaf_is_due(&self, held: &Held, now: i64) -> bool {
        let Some((validity, names)) = held.leaf() else { return true };
        if now > validity.not_after || names != self.names() {
            return true;
        }
        let known_since =
            held.cas.first().map_or(now, |ca| ca.validity.not_before + seconds(self.lives.skew));
        is_due(validity, now) && now >= known_since + seconds(self.lives.spread)
    }

    /// A CA and a certificate, out of nothing.
    fn make(&self, now: i64) -> anyhow::Result<Held> {
        let (ca, ca_key) = self.authority(now)?;
        let (cert, key) = self.leaf(&ca, &ca_key, now)?;
        Ok(Held { cas: vec![ca], ca_key: ca_key.serialize_pem(), cert, key })
    }

    /// The same with what is due made anew.
    fn renew(&self, mut held: Held, now: i64) -> anyhow::Result<Held> {
        held.cas.retain(|ca| now <= ca.validity.not_after);
        if held.cas.first().is_none_or(|ca| is_due(ca.validity, now)) {
            let (ca, key) = self.authority(now)?;
            held.cas.insert(0, ca);
            held.ca_key = key.serialize_pem();
        }
        if self.leaf_is_due(&held, now) {
            let ca = held.cas.first().context("there is a CA")?;
            let key = KeyPair::from_pem(&held.ca_key).context("the key of the CA")?;
            (held.cert, held.key) = self.leaf(ca, &key, now)?;
        }
        Ok(held)
    }

    fn authority(&self, now: i64) -> anyhow::Result<(Authority, KeyPair)> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        // Each has its own name, so that a certificate is not held against a CA that did not sign it.
        parameters.distinguished_name.push(DnType::CommonName, format!("pratique {} {now}", self.name));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        self.date(&mut parameters, now, now + seconds(self.lives.ca))?;
        let der = parameters.self_signed(&key)?.der().clone();
        let validity = Validity::of(&der)?;
        Ok((Authority { der, validity }, key))
    }

    /// A certificate and its key, as PEM.
    fn leaf(&self, ca: &Authority, ca_key: &KeyPair, now: i64) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(self.names())?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, format!("{}.{}.svc", self.name, self.namespace));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Not longer than who vouches for it.
        self.date(&mut parameters, now, (now + seconds(self.lives.leaf)).min(ca.validity.not_after))?;
        let issuer = Issuer::from_ca_cert_der(&ca.der, ca_key)?;
        Ok((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    fn date(&self, parameters: &mut CertificateParams, now: i64, end: i64) -> anyhow::Result<()> {
        parameters.not_before = ASN1Time::from_timestamp(now - seconds(self.lives.skew))?.to_datetime();
        parameters.not_after = ASN1Time::from_timestamp(end)?.to_datetime();
        Ok(())
    }

    /// The names that the API server may call it by, sorted.
    fn names(&self) -> Vec<String> {
        let service = format!("{}.{}.svc", self.name, self.namespace);
        let mut names = vec![service.clone() + ".cluster.local", service];
        names.extend(self.more_names.iter().cloned());
        names.sort();
        names
    }
}

/// Whether two thirds of it are over.
fn is_due(validity: Validity, now: i64) -> bool {
    now - validity.not_before >= (validity.not_after - validity.not_before) / 3 * 2
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// In seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
