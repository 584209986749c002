//! The webhook without the network: routes, limits, deadlines, and the handling of reviews.

mod concurrency_limit;
mod handler;
mod http;
mod memory_limit;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use policy_core::{AdmissionPhase, Cluster, NoCluster};

use crate::certificate::Validity;
use crate::clock::now;
use crate::config::Config;
use crate::server::cluster::WatchedCluster;
use crate::server::metrics::Metrics;
use crate::server::telemetry::TraceExporter;
use concurrency_limit::ConcurrencyLimit;
use handler::AdmissionCall;
use http::HttpError;
use memory_limit::MemoryLimit;

/// The maximum size of a review: 3 MiB, the limit of an API server, for each of object and old object, and 1 MiB for the rest.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// Reviews above this size are evaluated on other threads than small ones.
const LARGE: usize = 128 * 1024;

/// The webhook without the network.
#[derive(Clone)]
pub struct Webhook(Arc<WebhookState>);

struct WebhookState {
    /// The current configuration; it is replaced as a whole.
    rules: RwLock<Arc<ActiveConfig>>,
    metrics: Metrics,
    traces: OnceLock<TraceExporter>,
    ready: AtomicBool,
    /// The validity of the server certificate, if the webhook is served with one.
    certificate: RwLock<Option<Validity>>,
    /// The limit for large reviews, which need most of the memory and time.
    concurrency_limit: ConcurrencyLimit,
    memory_limit: MemoryLimit,
}

/// The policies and the cluster data. They are replaced together because new policies may read kinds that were not watched.
struct ActiveConfig {
    config: Config,
    cluster: Arc<dyn Cluster + Send + Sync>,
    /// The same cluster, if it is watched. The webhook is not ready until all kinds are listed.
    watched: Option<Arc<WatchedCluster>>,
}

impl Webhook {
    /// A webhook with these policies and without cluster data. It is ready at once.
    pub fn new(config: impl Into<Config>) -> Self {
        Webhook::with_cluster(config, Arc::new(NoCluster))
    }

    /// A webhook with these policies and this cluster data.
    pub fn with_cluster(config: impl Into<Config>, cluster: Arc<dyn Cluster + Send + Sync>) -> Self {
        Webhook::make(ActiveConfig { config: config.into(), cluster, watched: None })
    }

    /// A webhook with these policies and a watched cluster. It is ready when all kinds are listed.
    pub fn watching(config: impl Into<Config>, watched: Arc<WatchedCluster>) -> Self {
        Webhook::make(ActiveConfig::watching(config.into(), watched))
    }

    fn make(rules: ActiveConfig) -> Self {
        let metrics = Metrics::default();
        metrics.watch(rules.watched.clone());
        Webhook(Arc::new(WebhookState {
            rules: RwLock::new(Arc::new(rules)),
            metrics,
            traces: OnceLock::new(),
            ready: AtomicBool::new(true),
            certificate: RwLock::new(None),
            concurrency_limit: ConcurrencyLimit::new(),
            memory_limit: MemoryLimit::new(),
        }))
    }

    /// Replaces the configuration. Requests in flight finish with the old one. `watched` replaces the watched cluster, unless it
    /// is `None`.
    pub(crate) fn replace(&self, config: Config, watched: Option<Arc<WatchedCluster>>) {
        let before = self.rules();
        let rules = match watched {
            Some(watched) => ActiveConfig::watching(config, watched),
            None => ActiveConfig { config, cluster: before.cluster.clone(), watched: before.watched.clone() },
        };
        self.0.metrics.watch(rules.watched.clone());
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Sets the trace exporter. Only the first call has an effect.
    pub(crate) fn trace(&self, traces: TraceExporter) {
        drop(self.0.traces.set(traces));
    }

    /// The trace exporter, if one is set.
    pub(crate) fn traces(&self) -> Option<&TraceExporter> {
        self.0.traces.get()
    }

    /// Sets the validity of the server certificate. The webhook is ready only while the certificate is valid.
    pub(crate) fn set_certificate(&self, validity: Validity) {
        self.0.metrics.certificate(validity);
        *self.0.certificate.write().unwrap_or_else(PoisonError::into_inner) = Some(validity);
    }

    fn rules(&self) -> Arc<ActiveConfig> {
        self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The routes: `/validate` and `/mutate`, both also with the name of a single policy, `/healthz` and `/readyz`.
    pub fn router(&self) -> Router {
        let validate =
            |State(w): State<Webhook>, request: Request| w.all(AdmissionPhase::Validating, request);
        let mutate = |State(w): State<Webhook>, request: Request| w.all(AdmissionPhase::Mutating, request);
        let validate_one = |State(w): State<Webhook>, name: Path<String>, request: Request| {
            w.one(AdmissionPhase::Validating, name, request)
        };
        let mutate_one = |State(w): State<Webhook>, name: Path<String>, request: Request| {
            w.one(AdmissionPhase::Mutating, name, request)
        };
        Router::new()
            .route("/validate", post(validate))
            .route("/mutate", post(mutate))
            .route("/validate/{policy}", post(validate_one))
            .route("/mutate/{policy}", post(mutate_one))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(|State(w): State<Webhook>| async move { w.readyz() }))
            .fallback(|State(w): State<Webhook>| async move { w.not_found() })
            .method_not_allowed_fallback(|State(w): State<Webhook>| async move { w.method_not_allowed() })
            .with_state(self.clone())
    }

    /// The response for an unknown path. It lists the valid ones, because the webhook may be registered with a wrong path.
    fn not_found(&self) -> HttpError {
        self.0.metrics.refusal(StatusCode::NOT_FOUND);
        let reason =
            "unknown path: use /validate, /mutate, /validate/NAME, /mutate/NAME, /healthz or /readyz";
        HttpError::new(StatusCode::NOT_FOUND, reason)
    }

    fn method_not_allowed(&self) -> HttpError {
        self.0.metrics.refusal(StatusCode::METHOD_NOT_ALLOWED);
        let reason = "use POST for admission reviews and GET for /healthz and /readyz";
        HttpError::new(StatusCode::METHOD_NOT_ALLOWED, reason)
    }

    /// The metrics of the webhook.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Sets readiness; `false` when the process is about to end.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::SeqCst);
    }

    /// Ready if the process is not shutting down, the watched kinds are listed, and the server certificate is valid.
    fn readyz(&self) -> (StatusCode, String) {
        let unknown = self.rules().watched.as_ref().map(|watched| watched.unknown()).unwrap_or_default();
        let certificate = *self.0.certificate.read().unwrap_or_else(PoisonError::into_inner);
        let problem = if !self.0.ready.load(Ordering::SeqCst) {
            "shutting down".to_owned()
        } else if !unknown.is_empty() {
            format!("cluster data not loaded yet: {}", unknown.join(", "))
        } else if let Some(problem) = certificate.and_then(|validity| validity.problem(now())) {
            problem.to_owned()
        } else {
            return (StatusCode::OK, "ok\n".to_owned());
        };
        (StatusCode::SERVICE_UNAVAILABLE, problem + "\n")
    }

    async fn all(self, phase: AdmissionPhase, request: Request) -> Result<Response, HttpError> {
        self.review(phase, None, request).await
    }

    async fn one(
        self,
        phase: AdmissionPhase,
        Path(name): Path<String>,
        request: Request,
    ) -> Result<Response, HttpError> {
        self.review(phase, Some(name), request).await
    }

    /// Handles a review, and counts HTTP errors.
    async fn review(
        self,
        phase: AdmissionPhase,
        name: Option<String>,
        request: Request,
    ) -> Result<Response, HttpError> {
        let call = AdmissionCall { webhook: self.clone(), rules: self.rules(), phase, name };
        let answered = match call.check(&request) {
            Ok(()) => call.respond(request).await,
            Err(refusal) => Err(refusal),
        };
        answered.inspect_err(|refusal| self.0.metrics.refusal(refusal.status))
    }
}

impl ActiveConfig {
    fn watching(config: Config, watched: Arc<WatchedCluster>) -> Self {
        ActiveConfig { config, cluster: watched.clone(), watched: Some(watched) }
    }
}
