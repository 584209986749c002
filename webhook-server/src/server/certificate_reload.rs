//! Replaces the certificate of a running server.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use axum_server::tls_rustls::RustlsConfig;

use super::file_watcher::{WatchedFiles, on_blocking_thread};
use super::tls::Identity;
use super::tls::clients::TrustedClients;
use super::webhook::Webhook;
use crate::clock;

/// A running server whose certificate can be replaced. The webhook behind it tracks the validity of the certificate.
#[derive(Clone)]
pub struct ServedCertificate {
    config: RustlsConfig,
    clients: Option<TrustedClients>,
    webhook: Webhook,
    /// The served certificate; it is needed to build a new TLS configuration when the trusted clients change.
    shown: Arc<Mutex<Identity>>,
}

impl ServedCertificate {
    /// A server that already serves this certificate.
    pub(crate) fn new(
        config: RustlsConfig,
        clients: Option<TrustedClients>,
        webhook: Webhook,
        shown: Identity,
    ) -> Self {
        ServedCertificate { config, clients, webhook, shown: Arc::new(Mutex::new(shown)) }
    }

    /// Serves this certificate on new connections.
    ///
    /// # Errors
    /// The certificate cannot be used; the previous one stays in use.
    pub fn show(&self, identity: Identity) -> anyhow::Result<()> {
        let validity = identity.validity()?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(identity.clone().server_for(self.clients.as_ref())?);
        *shown = identity;
        self.webhook.set_certificate(validity);
        Ok(())
    }

    /// Serves this certificate, unless it has expired and the current one has not. A certificate that is not valid yet is
    /// accepted, because it may be valid by the clock of the client.
    fn show_better(&self, identity: Identity) -> anyhow::Result<()> {
        let ends = |identity: &Identity| identity.validity().map(|validity| validity.not_after);
        let shown = ends(&self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        let (new, now) = (ends(&identity)?, clock::now());
        if new < now && shown.is_ok_and(|shown| shown >= now) {
            bail!("the new certificate has already expired, and the current one is still valid");
        }
        self.show(identity)
    }

    /// Serves the same certificate with the current list of trusted clients.
    fn show_again(&self) -> anyhow::Result<()> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.reload_from_config(shown.clone().server_for(self.clients.as_ref())?);
        Ok(())
    }

    /// Reloads the trusted client CA whenever its file changes.
    pub(crate) async fn follow_clients(self, mut file: WatchedFiles) {
        loop {
            file.changed().await;
            let this = self.clone();
            match on_blocking_thread(move || this.show_again()).await {
                Ok(()) => tracing::info!("reloaded the trusted client CA (--client-ca)"),
                Err(error) => self.failed("trusted client CA (--client-ca)", &error),
            }
        }
    }

    /// Counts and logs a failed replacement.
    pub(super) fn failed(&self, what: &str, error: &anyhow::Error) {
        self.webhook.metrics().certificate_failed();
        tracing::error!("{what} not reloaded: {error:#}");
    }

    /// Reloads the certificate whenever its files change. If the files are incomplete or do not match, the current certificate
    /// stays in use and the failure is counted.
    pub(crate) async fn follow(self, mut files: WatchedFiles, cert: &Path, key: &Path) {
        loop {
            files.changed().await;
            let (this, cert_now, key) = (self.clone(), cert.to_owned(), key.to_owned());
            let show = move || this.show_better(Identity::from_files(&cert_now, &key)?);
            match on_blocking_thread(show).await {
                Ok(()) => tracing::info!("reloaded the certificate from {}", cert.display()),
                Err(error) => self.failed("server certificate", &error),
            }
        }
    }
}
