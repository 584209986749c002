//! The certificate as its files have it, for as long as the process lives: Kubernetes swaps them when it is renewed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;

use super::Identity;
use crate::metrics::Metrics;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The two files of a certificate, and what was in them when it was taken.
pub(crate) struct Files {
    cert: PathBuf,
    key: PathBuf,
    taken: Option<(Vec<u8>, Vec<u8>)>,
}

impl Files {
    /// The files of the certificate that is served.
    pub(crate) fn new(cert: &Path, key: &Path) -> Self {
        let mut files = Files { cert: cert.to_owned(), key: key.to_owned(), taken: None };
        files.taken = files.contents();
        files
    }

    /// Looks at the files until the process ends, and serves what is new in them. A pair that is half written, or does not belong
    /// together, is left alone and counted: what was served before goes on being served.
    pub(crate) async fn watch(mut self, served: RustlsConfig, metrics: Metrics) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let contents = self.contents();
            if contents.is_none() || contents == self.taken {
                continue;
            }
            // Once for each change, whether it can be used or not.
            self.taken = contents;
            match self.take(&served, &metrics) {
                Ok(()) => {
                    anstream::eprintln!("pratique: serving the new certificate of {}", self.cert.display())
                }
                Err(error) => {
                    metrics.certificate_failed();
                    anstream::eprintln!("pratique: the certificate is not replaced: {error:#}");
                }
            }
        }
    }

    fn take(&self, served: &RustlsConfig, metrics: &Metrics) -> anyhow::Result<()> {
        let identity = Identity::from_files(&self.cert, &self.key)?;
        let first = identity.chain.first().cloned();
        served.reload_from_config(identity.server()?);
        first.map_or(Ok(()), |certificate| metrics.certificate(&certificate))
    }

    /// What is in both files now; `None` while one of them cannot be read.
    fn contents(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((std::fs::read(&self.cert).ok()?, std::fs::read(&self.key).ok()?))
    }
}
