//! Prometheus metrics of the webhook. Labels have a bounded number of values, regardless of the requests.

use std::net::TcpListener;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use hyper_util::rt::TokioTimer;
use policy_core::{AdmissionPhase, Operation, Outcome, Request};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use tracing_appender::non_blocking::ErrorCounter;

use crate::certificate::Validity;
use crate::clock;
use crate::evaluator::PolicyOutcome;
use crate::server::cluster::WatchedCluster;
use crate::server::cluster::metrics::WatchedClusterHandle;

/// The content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The number of dropped log lines.
#[derive(Clone, Debug, Default)]
struct DroppedLogLines(Arc<OnceLock<ErrorCounter>>);

impl Collector for DroppedLogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let dropped = self.0.get().map_or(0, ErrorCounter::dropped_lines);
        let counter = ConstCounter::new(u64::try_from(dropped).unwrap_or(u64::MAX));
        let help = "Log lines that were dropped because standard error was not read fast enough";
        counter.encode(encoder.encode_descriptor("log_lines_dropped", help, None, counter.metric_type())?)
    }
}

/// The metrics, and the registry that encodes them.
#[derive(Clone)]
pub struct Metrics(Arc<MetricFamilies>);

struct MetricFamilies {
    registry: Registry,
    watched: WatchedClusterHandle,
    config_ok: Gauge,
    config_since: Gauge,
    verdicts: Family<PolicyEvaluationLabels, Counter>,
    undecided: Family<EvaluationErrorLabels, Counter>,
    reviews: Family<AdmissionRequestLabels, Counter>,
    refusals: Family<RejectionLabels, Counter>,
    excepted: Family<ControlLabels, Counter>,
    invalid_patches: Counter,
    duration: Histogram,
    certificate: Gauge,
    certificate_failures: Counter,
    lines: DroppedLogLines,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdmissionRequestLabels {
    webhook: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

/// `kind` is one of the kinds in the scope of the policy, or `other`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyEvaluationLabels {
    policy: &'static str,
    mode: &'static str,
    operation: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvaluationErrorLabels {
    policy: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    code: u16,
}

/// `control` is one of the controls that the configuration has exceptions for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControlLabels {
    policy: &'static str,
    control: String,
}

/// All metrics start at zero.
impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pratique");
        let watched = WatchedClusterHandle::default();
        registry.register_collector(Box::new(watched.clone()));
        let lines = DroppedLogLines::default();
        registry.register_collector(Box::new(lines.clone()));
        let mut metric = Registrar(registry);
        // From 50 µs to 1.6 s.
        let duration = Histogram::new(exponential_buckets(50e-6, 2.0, 16));
        let config_ok = "1 if the last change of the configuration was loaded; 0 if it failed and the previous one is in use";
        let config_since = "When the current configuration was loaded, in seconds since 1970";
        let verdicts = "Policy evaluations by outcome, regardless of the mode of the policy";
        let undecided = "Policy evaluations that failed; they deny if the policy is enforced";
        let invalid_patches = "Patches that were not sent because the policies would deny the patched object";
        let certificate = "When the server certificate expires, in seconds since 1970";
        let failures = "Failed attempts to reload or renew the server certificate or the client CA";
        Metrics(Arc::new(MetricFamilies {
            watched,
            config_ok: metric.add("config_last_reload_successful", config_ok),
            config_since: metric.add("config_last_reload_success_timestamp_seconds", config_since),
            verdicts: metric.add("policy_evaluations", verdicts),
            undecided: metric.add("evaluation_errors", undecided),
            reviews: metric.add("admission_requests", "Reviews that were answered"),
            refusals: metric.add("rejected_requests", "Requests that were answered with an HTTP error"),
            excepted: metric.add("exceptions_applied", "Denials that an exception overrode"),
            invalid_patches: metric.add("invalid_patches", invalid_patches),
            duration: metric.register(
                "admission_request_duration_seconds",
                "Time to decode, evaluate and answer a review",
                duration,
            ),
            certificate: metric.add("certificate_expiration_timestamp_seconds", certificate),
            certificate_failures: metric.add("certificate_failures", failures),
            lines,
            registry: metric.0,
        }))
    }
}

/// Registers metrics, and returns them.
struct Registrar(Registry);

impl Registrar {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.register(name, help, M::default())
    }

    fn register<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

impl Metrics {
    /// Sets the counter of dropped log lines, which is read on every scrape.
    pub(crate) fn log(&self, dropped: ErrorCounter) {
        drop(self.0.lines.0.set(dropped));
    }

    /// Sets the watched cluster, whose state is read on every scrape.
    pub(crate) fn watch(&self, watched: Option<Arc<WatchedCluster>>) {
        *self.0.watched.0.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Records whether the last change of the configuration was loaded.
    pub(crate) fn config(&self, taken: bool) {
        self.0.config_ok.set(i64::from(taken));
        if taken {
            self.0.config_since.set(clock::now());
        }
    }

    /// Counts the outcome of one policy for a review.
    pub(crate) fn outcome(&self, outcome: &PolicyOutcome, request: &Request<'_>) {
        let kinds = outcome.metadata.scope.resources.iter().map(|resource| resource.kind);
        let labels = PolicyEvaluationLabels {
            policy: outcome.metadata.name,
            mode: outcome.mode.as_str(),
            operation: request.operation.as_str(),
            kind: kinds.into_iter().find(|kind| *kind == request.kind.kind).unwrap_or("other"),
            outcome: outcome.outcome.as_str(),
        };
        self.0.verdicts.get_or_create(&labels).inc();
        if outcome.undecided {
            let labels = EvaluationErrorLabels { policy: outcome.metadata.name, mode: outcome.mode.as_str() };
            self.0.undecided.get_or_create(&labels).inc();
        }
    }

    /// Counts a review that was answered.
    pub(crate) fn review(
        &self,
        phase: AdmissionPhase,
        operation: Operation,
        outcome: Outcome,
        took: Duration,
    ) {
        let labels = AdmissionRequestLabels {
            webhook: phase.as_str(),
            operation: operation.as_str(),
            outcome: outcome.as_str(),
        };
        self.0.reviews.get_or_create(&labels).inc();
        self.0.duration.observe(took.as_secs_f64());
    }

    /// Counts a request that was answered with an HTTP error.
    pub(crate) fn refusal(&self, code: StatusCode) {
        self.0.refusals.get_or_create(&RejectionLabels { code: code.as_u16() }).inc();
    }

    /// Counts a denial that an exception overrode.
    pub(crate) fn excepted(&self, policy: &'static str, control: &str) {
        self.0.excepted.get_or_create(&ControlLabels { policy, control: control.to_owned() }).inc();
    }

    /// Counts a patch that was not sent because the policies would deny the patched object.
    pub(crate) fn invalid_patch(&self) {
        self.0.invalid_patches.inc();
    }

    /// Counts a failed attempt to reload or renew the server certificate or the client CA.
    pub(crate) fn certificate_failed(&self) {
        self.0.certificate_failures.inc();
    }

    /// Records when the server certificate expires.
    pub(crate) fn certificate(&self, validity: Validity) {
        self.0.certificate.set(validity.not_after);
    }

    /// All metrics, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Encoding fails. This is not expected, because it writes to a string.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// Serves `GET /metrics` on a listener, in plain HTTP, until the process ends.
    ///
    /// # Errors
    /// The listener cannot be used.
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
                tracing::error!("the metrics server failed: {error}");
            }
        });
        Ok(())
    }
}
