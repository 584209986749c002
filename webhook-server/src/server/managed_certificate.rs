//! A certificate that the webhook issues itself, for clusters without cert-manager. A CA and a certificate are stored in a Secret
//! that all replicas share, renewed after two thirds of their lifetime. The CA is written to the webhook configurations.
//!
//! A new CA is trusted before it signs anything: it is first added next to the old one. The next certificate is issued only
//! after API servers had time to learn of the new CA.

mod ca_bundle;
mod issue;
mod secret;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;

use super::certificate_reload::ServedCertificate;
use super::tls::Identity;
use crate::certificate::Validity;
use crate::clock::now;
pub use issue::Lifetimes;
use issue::{LeafNames, is_due, seconds};
use secret::{CertificateAuthority, StoredCertificates};

/// The number of attempts when other replicas write at the same time.
const TRIES: usize = 5;
/// The maximum number of previously trusted CAs to keep if the Secret was lost.
const MOST_OLD: usize = 4;
/// The timeout for all API calls of a round.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of attempts at startup, one per second.
const STARTUP_ATTEMPTS: usize = 30;

/// The certificate of a Service, and the webhook configurations that must trust it.
#[derive(Clone)]
pub struct ManagedCertificate {
    client: Client,
    namespace: String,
    /// The name of the Service.
    name: String,
    /// The name of the webhook configurations.
    configuration: String,
    lifetimes: Lifetimes,
    /// Names in addition to those of the Service, for a webhook that is called by URL.
    more_names: Vec<String>,
    /// The CAs that the webhook configurations trust, and when this process first saw each of them.
    trusted: Arc<Mutex<Vec<(CertificateDer<'static>, i64)>>>,
}

impl ManagedCertificate {
    /// The certificate of the Service `name`, in the Secret `name-tls` in the same namespace.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        configuration: &str,
        lifetimes: Lifetimes,
    ) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        ManagedCertificate {
            client,
            namespace,
            name,
            configuration: configuration.to_owned(),
            lifetimes,
            more_names: Vec::new(),
            trusted: Arc::default(),
        }
    }

    /// Adds these names and addresses to the certificate.
    #[must_use]
    pub fn with_names(mut self, names: &[String]) -> Self {
        // In the form in which names are read from a certificate.
        let written = |name: &String| match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        self.more_names = names.iter().map(written).collect();
        self
    }

    /// The certificate to start with. Retries if the API server does not respond yet or another replica writes at the same time.
    ///
    /// # Errors
    /// The error of the last [`ManagedCertificate::round`].
    pub async fn start(&self) -> anyhow::Result<Identity> {
        let mut tried = 1;
        loop {
            match self.round(now()).await {
                Err(error) if tried < STARTUP_ATTEMPTS => {
                    tracing::warn!("cannot get the certificate yet, retrying: {error:#}")
                }
                done => return done,
            }
            tried += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Runs one round: creates or renews certificates if needed, and makes the webhook configurations trust the CA.
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The API server does not respond or denies access.
    pub async fn round(&self, now: i64) -> anyhow::Result<Identity> {
        self.reconcile(now).await?.identity()
    }

    /// Runs one round, and returns the contents of the Secret.
    async fn reconcile(&self, now: i64) -> anyhow::Result<StoredCertificates> {
        let reconcile = async {
            for _ in 0..TRIES {
                let Some(reconcile) = self.hold(now).await? else { continue };
                if ca_bundle::trust(&self.client, &self.configuration, reconcile.bundle()).await? {
                    self.note(&reconcile, now);
                    return Ok(reconcile);
                }
            }
            bail!(
                "Secret {}/{} or a webhook configuration: another client changed it on every attempt to update it",
                self.namespace,
                self.secret()
            )
        };
        let late = || format!("the API server did not respond within {PATIENCE:?}");
        tokio::time::timeout(PATIENCE, reconcile).await.with_context(late)?
    }

    /// Records the CAs that are trusted, and the time for new ones.
    fn note(&self, reconcile: &StoredCertificates, now: i64) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.retain(|(der, _)| reconcile.cas.iter().any(|ca| ca.der == *der));
        for ca in &reconcile.cas {
            if !trusted.iter().any(|(der, _)| *der == ca.der) {
                trusted.push((ca.der.clone(), now));
            }
        }
    }

    /// Whether the signing CA has been trusted for long enough that every API server knows it.
    fn is_known(&self, reconcile: &StoredCertificates, now: i64) -> bool {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let signs = reconcile.cas.first();
        trusted.iter().any(|(der, since)| {
            signs.is_some_and(|ca| ca.der == *der) && now >= since + seconds(self.lifetimes.spread)
        })
    }

    /// Runs rounds until the process ends, and serves new certificates.
    pub async fn keep(self, served: ServedCertificate, mut shown: Vec<CertificateDer<'static>>) {
        loop {
            tokio::time::sleep(self.lifetimes.round).await;
            let renewed = self.reconcile(now()).await.and_then(|reconcile| {
                let identity = reconcile.identity()?;
                let chain = identity.chain.clone();
                // If the old CA was lost, a certificate of the new one is served only after API servers know that CA.
                if chain != shown && (self.is_known(&reconcile, now()) || !is_valid(&shown)) {
                    served.show(identity)?;
                    tracing::info!(
                        "reloaded the certificate from Secret {}/{}",
                        self.namespace,
                        self.secret()
                    );
                    shown = chain;
                }
                Ok(())
            });
            if let Err(error) = renewed {
                served.failed("server certificate", &error);
            }
        }
    }

    fn secret(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// Updates the Secret if needed and returns its contents; `None` if another replica changed it at the same time.
    async fn hold(&self, now: i64) -> anyhow::Result<Option<StoredCertificates>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let named = || format!("Secret {}/{}", self.namespace, self.secret());
        let found = api.get_opt(&self.secret()).await.with_context(named)?;
        let reconcile = found.as_ref().and_then(StoredCertificates::read);
        if found.is_some() && reconcile.is_none() {
            tracing::warn!("{} does not contain a usable certificate: creating a new one", named());
        }
        let reconcile = match reconcile {
            Some(reconcile) if self.is_well(&reconcile, now) => return Ok(Some(reconcile)),
            Some(reconcile) => self.renew(reconcile, now)?,
            None => self.make(ca_bundle::trusted(&self.client, &self.configuration).await?, now)?,
        };
        let mut secret = found.clone().unwrap_or_else(|| Secret {
            metadata: ObjectMeta { name: Some(self.secret()), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        reconcile.write(&mut secret);
        let parameters = PostParams::default();
        let written = match found {
            // The request has the resourceVersion that was read, so a concurrent update causes a conflict.
            Some(_) => api.replace(&self.secret(), &parameters, &secret).await,
            None => api.create(&parameters, &secret).await,
        };
        match written {
            Ok(_) => Ok(Some(reconcile)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error).with_context(named),
        }
    }

    fn is_well(&self, reconcile: &StoredCertificates, now: i64) -> bool {
        let Some(ca) = reconcile.cas.first() else { return false };
        let expired = reconcile.cas.iter().any(|ca| now > ca.validity.not_after);
        !expired && !is_due(ca.validity, now) && !self.leaf_is_due(reconcile, now)
    }

    /// Whether to issue a certificate now. If the old one is still valid, this waits until API servers know a new CA.
    fn leaf_is_due(&self, reconcile: &StoredCertificates, now: i64) -> bool {
        let Some((validity, names)) = reconcile.leaf() else { return true };
        if now > validity.not_after || self.names().iter().any(|name| !names.contains(name)) {
            return true;
        }
        is_due(validity, now) && self.is_known(reconcile, now)
    }

    /// Creates a CA and a certificate. CAs that are already trusted stay, because their certificates may still be in use.
    fn make(&self, trusted: Vec<CertificateAuthority>, now: i64) -> anyhow::Result<StoredCertificates> {
        let (ca, ca_key) = self.lifetimes.authority(&self.name, now)?;
        let (cert, key) = self.lifetimes.leaf(
            &ca,
            &ca_key,
            LeafNames { common: &self.service(), alternative: self.names() },
            now,
        )?;
        let old = trusted.into_iter().filter(|ca| now <= ca.validity.not_after).take(MOST_OLD);
        let cas = std::iter::once(ca).chain(old).collect();
        Ok(StoredCertificates { cas, ca_key: ca_key.serialize_pem(), cert, key })
    }

    /// Renews the CA and the certificate, if they are due.
    fn renew(&self, mut reconcile: StoredCertificates, now: i64) -> anyhow::Result<StoredCertificates> {
        reconcile.cas.retain(|ca| now <= ca.validity.not_after);
        if reconcile.cas.first().is_none_or(|ca| is_due(ca.validity, now)) {
            let (ca, key) = self.lifetimes.authority(&self.name, now)?;
            reconcile.cas.insert(0, ca);
            reconcile.ca_key = key.serialize_pem();
        }
        if self.leaf_is_due(&reconcile, now) {
            let ca = reconcile.cas.first().context("the Secret has no CA")?;
            let key = KeyPair::from_pem(&reconcile.ca_key).context("the key of the CA")?;
            let mut names = self.names();
            if let Some((_, old)) = reconcile.leaf().filter(|(validity, _)| !is_due(*validity, now)) {
                // Keep the old names, because replicas of another version may need them during a rollout.
                names.extend(old);
                names.sort();
                names.dedup();
            }
            (reconcile.cert, reconcile.key) = self.lifetimes.leaf(
                ca,
                &key,
                LeafNames { common: &self.service(), alternative: names },
                now,
            )?;
        }
        Ok(reconcile)
    }

    fn service(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// The names that the API server may use for the webhook, sorted.
    fn names(&self) -> Vec<String> {
        let service = self.service();
        let mut names = vec![service.clone() + ".cluster.local", service];
        names.extend(self.more_names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }
}

/// Whether the certificate of a chain is valid now.
fn is_valid(chain: &[CertificateDer<'_>]) -> bool {
    let validity = chain.first().and_then(|leaf| Validity::of(leaf).ok());
    validity.is_some_and(|validity| validity.problem(now()).is_none())
}
