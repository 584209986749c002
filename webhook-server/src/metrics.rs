//! What the webhook counts, as Prometheus reads it. Its labels have few values, whatever is sent.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use hyper_util::rt::TokioTimer;
use policy_core::{Half, Operation, Outcome};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;

use crate::cluster::Watched;

/// The content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters, and the registry that prints them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reviews: Family<Review, Counter>,
    refusals: Family<Refusal, Counter>,
    excepted: Family<Control, Counter>,
    faulty_patches: Counter,
    duration: Histogram,
    certificate: Gauge,
    certificate_failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Review {
    half: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    code: u16,
}

/// The controls are those that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Control {
    policy: &'static str,
    control: String,
}

impl Metrics {
    /// All at nothing; what is known of a cluster that is watched is counted as it is when somebody asks.
    pub fn new(watched: Option<Arc<Watched>>) -> Self {
        let mut registry = Registry::with_prefix("pratique");
        if let Some(watched) = watched {
            registry.register_collector(Box::new(watched));
        }
        let reviews = Family::default();
        registry.register("reviews", "Reviews that were answered", reviews.clone());
        let refusals = Family::default();
        registry.register("refusals", "Calls that were answered with an HTTP error", refusals.clone());
        let excepted = Family::default();
        registry.register("excepted", "Denials that an exception took back", excepted.clone());
        let faulty_patches = Counter::default();
        registry.register(
            "faulty_patches",
            "Patches that were not sent, because the policies would deny what they make",
            faulty_patches.clone(),
        );
        // 50 µs to 1.6 s.
        let duration = Histogram::new(exponential_buckets(50e-6, 2.0, 16));
        registry.register(
            "review_duration_seconds",
            "The time to decode, judge and answer a review",
            duration.clone(),
        );
        let certificate = Gauge::default();
        registry.register(
            "certificate_expiry_seconds",
            "When the certificate that is served ends, in seconds since 1970",
            certificate.clone(),
        );
        let certificate_failures = Counter::default();
        registry.register(
            "certificate_failures",
            "Changes of the certificate's files that could not be used",
            certificate_failures.clone(),
        );
        Metrics(Arc::new(Inner {
            registry,
            reviews,
            refusals,
            excepted,
            faulty_patches,
            duration,
            certificate,
            certificate_failures,
        }))
    }

    /// Counts a review that was answered.
    pub(crate) fn review(&self, half: Half, operation: Operation, outcome: Outcome, took: Duration) {
        let half = match half {
            Half::Mutate => "mutate",
            Half::Validate => "validate",
        };
        let labels = Review { half, operation: operation.as_str(), outcome: outcome.as_str() };
        self.0.reviews.get_or_create(&labels).inc();
        self.0.duration.observe(took.as_secs_f64());
    }

    /// Counts a call that was answered with an HTTP error.
    pub(crate) fn refusal(&self, code: StatusCode) {
        self.0.refusals.get_or_create(&Refusal { code: code.as_u16() }).inc();
    }

    /// Counts a denial that an exception took back.
    pub(crate) fn excepted(&self, policy: &'static str, control: &str) {
        self.0.excepted.get_or_create(&Control { policy, control: control.to_owned() }).inc();
    }

    /// Counts a patch that the policies would have denied.
    pub(crate) fn faulty_patch(&self) {
        self.0.faulty_patches.inc();
    }

    /// Counts a change of the certificate's files that could not be used.
    pub(crate) fn certificate_failed(&self) {
        self.0.certificate_failures.inc();
    }

    /// Says when the certificate that is served ends.
    ///
    /// # Errors
    /// It cannot be read as X.509.
    pub fn certificate(&self, certificate: &CertificateDer<'_>) -> anyhow::Result<()> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .context("certificate: it cannot be read as X.509")?;
        self.0.certificate.set(parsed.validity().not_after.timestamp());
        Ok(())
    }

    /// All of it, in the OpenMetrics text format.
    ///
    /// # Errors
    /// None that is known: it is written to a string.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// Serves `GET /metrics` on a listener, in plain HTTP, until the process ends.
    ///
    /// # Errors
    /// The listener is unusable.
    pub fn serve(&self, listener: TcpListener) -> anyhow::Result<()> {
        listener.set_nonblocking(true)?;
        let metrics = self.clone();
        let show = move || async move {
            let text = metrics.text().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok::<_, StatusCode>(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
        };
        let router = Router::new().route("/metrics", get(show));
        let mut server = axum_server::from_tcp(listener)?;
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        tokio::spawn(async move {
            if let Err(error) = server.serve(router.into_make_service()).await {
                anstream::eprintln!("pratique: metrics are no longer served: {error}");
            }
        });
        Ok(())
    }
}
