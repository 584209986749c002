//! The webhook, without the network around it: routes, limits, deadlines; reviews in, answers out.

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

/// The largest review: object and old object of 3 MiB each, which is what an API server takes, and 1 MiB for the rest.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// Reviews above this size are judged off the threads that answer the small ones.
const LARGE: usize = 128 * 1024;

/// The webhook, without the network around it.
#[derive(Clone)]
pub struct Webhook(Arc<WebhookState>);

struct WebhookState {
    /// What is asked now; replaced as a whole.
    rules: RwLock<Arc<ActiveConfig>>,
    metrics: Metrics,
    traces: OnceLock<TraceExporter>,
    ready: AtomicBool,
    /// How long the certificate that is served may be used, where there is one.
    certificate: RwLock<Option<Validity>>,
    /// Of large reviews: they take the memory and the time.
    turns: ConcurrencyLimit,
    room: MemoryLimit,
}

/// Which policies, and what they know: together, for policies that are new may look at what was not watched before.
struct ActiveConfig {
    config: Config,
    cluster: Arc<dyn Cluster + Send + Sync>,
    /// The same cluster, where it is watched: until it is known, nobody is welcome.
    watched: Option<Arc<WatchedCluster>>,
}

impl Webhook {
    /// A webhook that asks these policies, and is ready. It knows of no cluster.
    pub fn new(config: impl Into<Config>) -> Self {
        Webhook::with_cluster(config, Arc::new(NoCluster))
    }

    /// A webhook that asks these policies about objects in that cluster.
    pub fn with_cluster(config: impl Into<Config>, cluster: Arc<dyn Cluster + Send + Sync>) -> Self {
        Webhook::make(ActiveConfig { config: config.into(), cluster, watched: None })
    }

    /// The same in a cluster that is watched: the webhook is ready once that is known.
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
            turns: ConcurrencyLimit::new(),
            room: MemoryLimit::new(),
        }))
    }

    /// Asks other policies from now on; what is being judged is judged to its end as it began. `watched` is the cluster that
    /// they know, if it is another.
    pub(crate) fn replace(&self, config: Config, watched: Option<Arc<WatchedCluster>>) {
        let before = self.rules();
        let rules = match watched {
            Some(watched) => ActiveConfig::watching(config, watched),
            None => ActiveConfig { config, cluster: before.cluster.clone(), watched: before.watched.clone() },
        };
        self.0.metrics.watch(rules.watched.clone());
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Says where traces go; the first time counts.
    pub(crate) fn trace(&self, traces: TraceExporter) {
        drop(self.0.traces.set(traces));
    }

    /// Where they go, if they go anywhere.
    pub(crate) fn traces(&self) -> Option<&TraceExporter> {
        self.0.traces.get()
    }

    /// Says how long the certificate that is served may be used: without a valid one nobody can call.
    pub(crate) fn set_certificate(&self, validity: Validity) {
        self.0.metrics.certificate(validity);
        *self.0.certificate.write().unwrap_or_else(PoisonError::into_inner) = Some(validity);
    }

    fn rules(&self) -> Arc<ActiveConfig> {
        self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The routes: `/validate`, `/mutate`, both also for one policy by name, `/healthz` and `/readyz`.
    pub fn router(&self) -> Router {
        type RequestContext = State<Webhook>;
        type Name = Path<String>;
        let validate =
            |State(w): RequestContext, request: Request| w.all(AdmissionPhase::Validating, request);
        let mutate = |State(w): RequestContext, request: Request| w.all(AdmissionPhase::Mutating, request);
        let validate_one = |State(w): RequestContext, name: Name, request: Request| {
            w.one(AdmissionPhase::Validating, name, request)
        };
        let mutate_one = |State(w): RequestContext, name: Name, request: Request| {
            w.one(AdmissionPhase::Mutating, name, request)
        };
        Router::new()
            .route("/validate", post(validate))
            .route("/mutate", post(mutate))
            .route("/validate/{policy}", post(validate_one))
            .route("/mutate/{policy}", post(mutate_one))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(|State(w): RequestContext| async move { w.readyz() }))
            .fallback(|State(w): RequestContext| async move { w.nothing_there() })
            .method_not_allowed_fallback(|State(w): RequestContext| async move { w.no_such_method() })
            .with_state(self.clone())
    }

    /// What is asked for is not there: whoever registered it should see that, and where to look.
    fn nothing_there(&self) -> HttpError {
        self.0.metrics.refusal(StatusCode::NOT_FOUND);
        let reason = "nothing is served here: /validate, /mutate, /validate/NAME, /mutate/NAME, /healthz and /readyz are";
        HttpError::new(StatusCode::NOT_FOUND, reason)
    }

    fn no_such_method(&self) -> HttpError {
        self.0.metrics.refusal(StatusCode::METHOD_NOT_ALLOWED);
        let reason = "reviews are posted, /healthz and /readyz are got";
        HttpError::new(StatusCode::METHOD_NOT_ALLOWED, reason)
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether new requests are welcome; `false` once the process is to end.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::SeqCst);
    }

    /// Whether it can judge what it is asked: it is not about to end, the cluster is known, and callers can trust it.
    fn readyz(&self) -> (StatusCode, String) {
        let unknown = self.rules().watched.as_ref().map(|watched| watched.unknown()).unwrap_or_default();
        let certificate = *self.0.certificate.read().unwrap_or_else(PoisonError::into_inner);
        let problem = if !self.0.ready.load(Ordering::SeqCst) {
            "shutting down".to_owned()
        } else if !unknown.is_empty() {
            format!("the cluster is not known yet: {}", unknown.join(", "))
        } else if let Some(problem) = certificate.and_then(|validity| validity.problem(now())) {
            problem.to_owned()
        } else {
            return (StatusCode::OK, "ok\n".to_owned());
        };
        (StatusCode::SERVICE_UNAVAILABLE, problem + "\n")
    }

    async fn all(self, half: AdmissionPhase, request: Request) -> Result<Response, HttpError> {
        self.review(half, None, request).await
    }

    async fn one(
        self,
        half: AdmissionPhase,
        Path(name): Path<String>,
        request: Request,
    ) -> Result<Response, HttpError> {
        self.review(half, Some(name), request).await
    }

    /// Answers, and counts what is not answered.
    async fn review(
        self,
        half: AdmissionPhase,
        name: Option<String>,
        request: Request,
    ) -> Result<Response, HttpError> {
        let context = AdmissionCall { webhook: self.clone(), rules: self.rules(), half, name };
        let answered = match context.check(&request) {
            Ok(()) => context.respond(request).await,
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
