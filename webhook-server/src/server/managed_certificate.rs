//! A certificate that the webhook makes itself, for clusters without cert-manager: a CA and a certificate in a Secret that all
//! replicas share, renewed at two thirds of their life, and the CA in the webhook configurations.
//!
//! A renewed CA is trusted before anything is signed by it: it is put beside the old one, and the API server has some time to
//! hear of it, before the next certificate is made.

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

/// How often another replica may have been faster before it is an error.
const TRIES: usize = 5;
/// How many CAs are kept of those that were trusted when the Secret was lost.
const MOST_OLD: usize = 4;
/// How long the API server may take over all of a round.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a start is tried, a second after the other.
const STARTS: usize = 30;

/// Whose certificate it is, and who must trust it.
#[derive(Clone)]
pub struct ManagedCertificate {
    client: Client,
    namespace: String,
    /// The Service.
    name: String,
    /// Of the webhook configurations.
    configuration: String,
    lives: Lifetimes,
    /// Beside those of the Service, for a webhook that is called by URL.
    more_names: Vec<String>,
    /// The CAs that the webhook configurations trust, and since when this process knows.
    trusted: Arc<Mutex<Vec<(CertificateDer<'static>, i64)>>>,
}

impl ManagedCertificate {
    /// The certificate of the Service `name`, in the Secret `name-tls` beside it.
    pub fn new(client: Client, namespace: &str, name: &str, configuration: &str, lives: Lifetimes) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        ManagedCertificate {
            client,
            namespace,
            name,
            configuration: configuration.to_owned(),
            lives,
            more_names: Vec::new(),
            trusted: Arc::default(),
        }
    }

    /// The same, also for these names and addresses.
    #[must_use]
    pub fn also_for(mut self, names: &[String]) -> Self {
        // As they are read from a certificate.
        let written = |name: &String| match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        self.more_names = names.iter().map(written).collect();
        self
    }

    /// What to begin with. An API server that does not answer yet, or another replica that is faster, is waited for.
    ///
    /// # Errors
    /// As [`ManagedCertificate::round`], the last time.
    pub async fn start(&self) -> anyhow::Result<Identity> {
        let mut tried = 1;
        loop {
            match self.round(now()).await {
                Err(error) if tried < STARTS => {
                    tracing::warn!("the certificate cannot be had yet: {error:#}")
                }
                done => return done,
            }
            tried += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Looks at all of it once: makes what is missing, renews what is due, and has the webhook configurations trust it.
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The API server does not answer, or does not let this be done.
    pub async fn round(&self, now: i64) -> anyhow::Result<Identity> {
        self.held(now).await?.identity()
    }

    /// What is held when all of it has been looked at.
    async fn held(&self, now: i64) -> anyhow::Result<StoredCertificates> {
        let held = async {
            for _ in 0..TRIES {
                let Some(held) = self.hold(now).await? else { continue };
                if ca_bundle::trust(&self.client, &self.configuration, held.bundle()).await? {
                    self.note(&held, now);
                    return Ok(held);
                }
            }
            bail!("Secret {}/{}: it changes whenever it is to be changed here", self.namespace, self.secret())
        };
        let late = || format!("the API server takes longer than {PATIENCE:?}");
        tokio::time::timeout(PATIENCE, held).await.with_context(late)?
    }

    /// Notes what is trusted from now on, if it was not before.
    fn note(&self, held: &StoredCertificates, now: i64) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.retain(|(der, _)| held.cas.iter().any(|ca| ca.der == *der));
        for ca in &held.cas {
            if !trusted.iter().any(|(der, _)| *der == ca.der) {
                trusted.push((ca.der.clone(), now));
            }
        }
    }

    /// Whether the CA that signs has been trusted for long enough that every API server knows.
    fn is_known(&self, held: &StoredCertificates, now: i64) -> bool {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let signs = held.cas.first();
        trusted.iter().any(|(der, since)| {
            signs.is_some_and(|ca| ca.der == *der) && now >= since + seconds(self.lives.spread)
        })
    }

    /// Goes on with it until the process ends, and shows what is new.
    pub async fn keep(self, served: ServedCertificate, mut shown: Vec<CertificateDer<'static>>) {
        loop {
            tokio::time::sleep(self.lives.round).await;
            let renewed = self.held(now()).await.and_then(|held| {
                let identity = held.identity()?;
                let chain = identity.chain.clone();
                // One that a new CA signed, where the old one was lost, waits until that is known.
                if chain != shown && (self.is_known(&held, now()) || !is_valid(&shown)) {
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
                served.failed("the certificate is", &error);
            }
        }
    }

    fn secret(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// What the Secret holds once nothing in it is due; `None` where another replica was faster.
    async fn hold(&self, now: i64) -> anyhow::Result<Option<StoredCertificates>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let named = || format!("Secret {}/{}", self.namespace, self.secret());
        let found = api.get_opt(&self.secret()).await.with_context(named)?;
        let held = found.as_ref().and_then(StoredCertificates::read);
        if found.is_some() && held.is_none() {
            tracing::warn!("{} holds no certificate that can be used: it is made anew", named());
        }
        let held = match held {
            Some(held) if self.is_well(&held, now) => return Ok(Some(held)),
            Some(held) => self.renew(held, now)?,
            None => self.make(ca_bundle::trusted(&self.client, &self.configuration).await?, now)?,
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

    fn is_well(&self, held: &StoredCertificates, now: i64) -> bool {
        let Some(ca) = held.cas.first() else { return false };
        let expired = held.cas.iter().any(|ca| now > ca.validity.not_after);
        !expired && !is_due(ca.validity, now) && !self.leaf_is_due(held, now)
    }

    /// Whether a certificate is to be made now. Not by a CA that is too new to be known everywhere, if the old certificate does.
    fn leaf_is_due(&self, held: &StoredCertificates, now: i64) -> bool {
        let Some((validity, names)) = held.leaf() else { return true };
        if now > validity.not_after || self.names().iter().any(|name| !names.contains(name)) {
            return true;
        }
        is_due(validity, now) && self.is_known(held, now)
    }

    /// A CA and a certificate, out of nothing. Those that are trusted still are: what they signed may yet be shown.
    fn make(&self, trusted: Vec<CertificateAuthority>, now: i64) -> anyhow::Result<StoredCertificates> {
        let (ca, ca_key) = self.lives.authority(&self.name, now)?;
        let (cert, key) = self.lives.leaf(
            &ca,
            &ca_key,
            LeafNames { common: &self.service(), alternative: self.names() },
            now,
        )?;
        let old = trusted.into_iter().filter(|ca| now <= ca.validity.not_after).take(MOST_OLD);
        let cas = std::iter::once(ca).chain(old).collect();
        Ok(StoredCertificates { cas, ca_key: ca_key.serialize_pem(), cert, key })
    }

    /// The same with what is due made anew.
    fn renew(&self, mut held: StoredCertificates, now: i64) -> anyhow::Result<StoredCertificates> {
        held.cas.retain(|ca| now <= ca.validity.not_after);
        if held.cas.first().is_none_or(|ca| is_due(ca.validity, now)) {
            let (ca, key) = self.lives.authority(&self.name, now)?;
            held.cas.insert(0, ca);
            held.ca_key = key.serialize_pem();
        }
        if self.leaf_is_due(&held, now) {
            let ca = held.cas.first().context("there is a CA")?;
            let key = KeyPair::from_pem(&held.ca_key).context("the key of the CA")?;
            let mut names = self.names();
            if let Some((_, old)) = held.leaf().filter(|(validity, _)| !is_due(*validity, now)) {
                // Another replica wants those: of two versions, while one follows the other.
                names.extend(old);
                names.sort();
                names.dedup();
            }
            (held.cert, held.key) =
                self.lives.leaf(ca, &key, LeafNames { common: &self.service(), alternative: names }, now)?;
        }
        Ok(held)
    }

    fn service(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// The names that the API server may call it by, sorted.
    fn names(&self) -> Vec<String> {
        let service = self.service();
        let mut names = vec![service.clone() + ".cluster.local", service];
        names.extend(self.more_names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }
}

/// Whether a chain that is shown can still be believed.
fn is_valid(chain: &[CertificateDer<'_>]) -> bool {
    let validity = chain.first().and_then(|leaf| Validity::of(leaf).ok());
    validity.is_some_and(|validity| validity.problem(now()).is_none())
}
