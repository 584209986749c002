//! What the webhook counts, as Prometheus reads it. Its labels have few values, whatever is sent.

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

/// The lines of the log that were dropped.
#[derive(Clone, Debug, Default)]
struct DroppedLogLines(Arc<OnceLock<ErrorCounter>>);

impl Collector for DroppedLogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let dropped = self.0.get().map_or(0, ErrorCounter::dropped_lines);
        let counter = ConstCounter::new(u64::try_from(dropped).unwrap_or(u64::MAX));
        let help = "Lines of the log that nobody read, and that were dropped";
        counter.encode(encoder.encode_descriptor("log_lines_dropped", help, None, counter.metric_type())?)
    }
}

/// The counters, and the registry that prints them.
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
    faulty_patches: Counter,
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

/// The kinds are those that the policy judges.
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

/// The controls are those that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControlLabels {
    policy: &'static str,
    control: String,
}

/// All at nothing.
impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pratique");
        let watched = WatchedClusterHandle::default();
        registry.register_collector(Box::new(watched.clone()));
        let lines = DroppedLogLines::default();
        registry.register_collector(Box::new(lines.clone()));
        let mut metric = Registrar(registry);
        // 50 µs to 1.6 s.
        let duration = Histogram::new(exponential_buckets(50e-6, 2.0, 16));
        let config_ok = "Whether the configuration was taken the last time it changed: 1, or 0, and the one before is in force";
        let config_since = "When the configuration that is in force was taken, in seconds since 1970";
        let verdicts = "What each policy said of a review, before its mode was looked at";
        let undecided = "Reviews that a policy could not decide, and so denies, or would";
        let faulty_patches = "Patches that were not sent, because the policies would deny what they make";
        let certificate = "When the certificate that is served ends, in seconds since 1970";
        let failures = "Certificates that could not be read, made or used when they were to be replaced";
        Metrics(Arc::new(MetricFamilies {
            watched,
            config_ok: metric.add("config_last_reload_successful", config_ok),
            config_since: metric.add("config_last_reload_success_timestamp_seconds", config_since),
            verdicts: metric.add("policy_evaluations", verdicts),
            undecided: metric.add("evaluation_errors", undecided),
            reviews: metric.add("admission_requests", "Reviews that were answered"),
            refusals: metric.add("rejected_requests", "Calls that were answered with an HTTP error"),
            excepted: metric.add("exceptions_applied", "Denials that an exception took back"),
            faulty_patches: metric.add("invalid_patches", faulty_patches),
            duration: metric.register(
                "admission_request_duration_seconds",
                "The time to decode, judge and answer a review",
                duration,
            ),
            certificate: metric.add("certificate_expiration_timestamp_seconds", certificate),
            certificate_failures: metric.add("certificate_failures", failures),
            lines,
            registry: metric.0,
        }))
    }
}

/// Registers metrics, and hands them back.
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
    /// The lines of the log that were dropped are counted as they are when somebody asks.
    pub(crate) fn log(&self, dropped: ErrorCounter) {
        drop(self.0.lines.0.set(dropped));
    }

    /// What is known of this cluster is counted as it is when somebody asks.
    pub(crate) fn watch(&self, watched: Option<Arc<WatchedCluster>>) {
        *self.0.watched.0.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Says whether the configuration could be taken that is there now.
    pub(crate) fn config(&self, taken: bool) {
        self.0.config_ok.set(i64::from(taken));
        if taken {
            self.0.config_since.set(clock::now());
        }
    }

    /// Counts what one policy said of a review.
    pub(crate) fn outcomes(&self, outcomes: &PolicyOutcome, request: &Request<'_>) {
        let kinds = outcomes.metadata.scope.resources.iter().map(|resource| resource.kind);
        let labels = PolicyEvaluationLabels {
            policy: outcomes.metadata.name,
            mode: outcomes.mode.as_str(),
            operation: request.operation.as_str(),
            kind: kinds.into_iter().find(|kind| *kind == request.kind.kind).unwrap_or("other"),
            outcome: outcomes.outcome.as_str(),
        };
        self.0.verdicts.get_or_create(&labels).inc();
        if outcomes.undecided {
            let labels =
                EvaluationErrorLabels { policy: outcomes.metadata.name, mode: outcomes.mode.as_str() };
            self.0.undecided.get_or_create(&labels).inc();
        }
    }

    /// Counts a review that was answered.
    pub(crate) fn review(
        &self,
        half: AdmissionPhase,
        operation: Operation,
        outcome: Outcome,
        took: Duration,
    ) {
        let labels = AdmissionRequestLabels {
            webhook: half.as_str(),
            operation: operation.as_str(),
            outcome: outcome.as_str(),
        };
        self.0.reviews.get_or_create(&labels).inc();
        self.0.duration.observe(took.as_secs_f64());
    }

    /// Counts a call that was answered with an HTTP error.
    pub(crate) fn refusal(&self, code: StatusCode) {
        self.0.refusals.get_or_create(&RejectionLabels { code: code.as_u16() }).inc();
    }

    /// Counts a denial that an exception took back.
    pub(crate) fn excepted(&self, policy: &'static str, control: &str) {
        self.0.excepted.get_or_create(&ControlLabels { policy, control: control.to_owned() }).inc();
    }

    /// Counts a patch that the policies would have denied.
    pub(crate) fn faulty_patch(&self) {
        self.0.faulty_patches.inc();
    }

    /// Counts a certificate that could not be had or used when the one that is served was to be replaced.
    pub(crate) fn certificate_failed(&self) {
        self.0.certificate_failures.inc();
    }

    /// Says when the certificate that is served ends.
    pub(crate) fn certificate(&self, validity: Validity) {
        self.0.certificate.set(validity.not_after);
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
                tracing::error!("metrics are no longer served: {error}");
            }
        });
        Ok(())
    }
}
