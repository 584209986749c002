//! The certificate that a server shows, replaced while it serves.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use axum_server::tls_rustls::RustlsConfig;

use super::file_watcher::{WatchedFiles, aside};
use super::tls::Identity;
use super::tls::clients::TrustedClients;
use super::webhook::Webhook;
use crate::clock;

/// A server whose certificate can be replaced while it serves, and the webhook behind it that must know how long that lasts.
#[derive(Clone)]
pub struct ServedCertificate {
    config: RustlsConfig,
    clients: Option<TrustedClients>,
    webhook: Webhook,
    /// What is shown: it is shown anew where other clients are to be believed.
    shown: Arc<Mutex<Identity>>,
}

impl ServedCertificate {
    /// A server that shows that certificate.
    pub(crate) fn new(
        config: RustlsConfig,
        clients: Option<TrustedClients>,
        webhook: Webhook,
        shown: Identity,
    ) -> Self {
        ServedCertificate { config, clients, webhook, shown: Arc::new(Mutex::new(shown)) }
    }

    /// Shows that certificate from now on to whoever connects.
    ///
    /// # Errors
    /// It cannot be used; what was shown before goes on being shown.
    pub fn show(&self, identity: Identity) -> anyhow::Result<()> {
        let validity = identity.validity()?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(identity.clone().server_for(self.clients.as_ref())?);
        *shown = identity;
        self.webhook.set_certificate(validity);
        Ok(())
    }

    /// Shows that certificate, unless it has expired and the one that is shown has not. One that is not valid yet may be so by
    /// another clock.
    fn show_better(&self, identity: Identity) -> anyhow::Result<()> {
        let ends = |identity: &Identity| identity.validity().map(|validity| validity.not_after);
        let shown = ends(&self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        let (new, now) = (ends(&identity)?, clock::now());
        if new < now && shown.is_ok_and(|shown| shown >= now) {
            bail!("the new one has expired already, and the one that is served has not");
        }
        self.show(identity)
    }

    /// Shows the same to those who are believed now.
    fn show_again(&self) -> anyhow::Result<()> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(shown.clone().server_for(self.clients.as_ref())?);
        Ok(())
    }

    /// Believes the clients of the file, whenever that changes.
    pub(crate) async fn follow_clients(self, mut file: WatchedFiles) {
        loop {
            file.changed().await;
            let this = self.clone();
            match aside(move || this.show_again()).await {
                Ok(()) => tracing::info!("believing the clients of the new --client-ca"),
                Err(error) => self.failed("the clients that are believed are", &error),
            }
        }
    }

    /// Counts and says that something stays as it was.
    pub(super) fn failed(&self, what: &str, error: &anyhow::Error) {
        self.webhook.metrics().certificate_failed();
        tracing::error!("{what} not replaced: {error:#}");
    }

    /// Shows what is in the files, whenever that changes. A pair that is half written, or does not belong together, is left
    /// alone and counted.
    pub(crate) async fn follow(self, mut files: WatchedFiles, cert: &Path, key: &Path) {
        loop {
            files.changed().await;
            let (this, cert_now, key) = (self.clone(), cert.to_owned(), key.to_owned());
            let show = move || this.show_better(Identity::from_files(&cert_now, &key)?);
            match aside(show).await {
                Ok(()) => tracing::info!("serving the new certificate of {}", cert.display()),
                Err(error) => self.failed("the certificate is", &error),
            }
        }
    }
}
