//! The webhook, without the network around it: routes, limits, deadlines; reviews in, answers out.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use policy_core::path::excerpt;
use policy_core::review::ReviewError;
use policy_core::{Arena, Cluster, Half, NoCluster, Review, admit, case};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::Metrics;

/// The largest review: object and old object of 3 MiB each, which is what an API server takes, and 1 MiB for the rest.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// How long a call may take that does not say; the API server's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that an API server can be told to wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// Reviews above this size are judged off the threads that answer the small ones.
const LARGE: usize = 128 * 1024;
/// What a thread keeps of an arena from one review to the next.
const KEPT: usize = 256 * 1024;

/// The webhook, without the network around it.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

struct Inner {
    config: Config,
    cluster: Arc<dyn Cluster + Send + Sync>,
    metrics: Metrics,
    ready: AtomicBool,
    /// One permit for each large review that may be judged at a time: they take the memory.
    large: Arc<Semaphore>,
}

impl Webhook {
    /// A webhook that asks these policies, and is ready. It knows of no cluster.
    pub fn new(config: impl Into<Config>) -> Self {
        Webhook::with_cluster(config, Arc::new(NoCluster))
    }

    /// A webhook that asks these policies about objects in that cluster.
    pub fn with_cluster(config: impl Into<Config>, cluster: Arc<dyn Cluster + Send + Sync>) -> Self {
        let config = config.into();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let large = Arc::new(Semaphore::new(processors));
        let metrics = Metrics::default();
        Webhook(Arc::new(Inner { config, cluster, metrics, ready: AtomicBool::new(true), large }))
    }

    /// The routes: `/validate`, `/mutate`, both also for one policy by name, `/healthz` and `/readyz`.
    pub fn router(&self) -> Router {
        type Asked = State<Webhook>;
        type Name = Path<String>;
        let validate = |State(w): Asked, request: Request| w.all(Half::Validate, request);
        let mutate = |State(w): Asked, request: Request| w.all(Half::Mutate, request);
        let validate_one =
            |State(w): Asked, name: Name, request: Request| w.one(Half::Validate, name, request);
        let mutate_one = |State(w): Asked, name: Name, request: Request| w.one(Half::Mutate, name, request);
        Router::new()
            .route("/validate", post(validate))
            .route("/mutate", post(mutate))
            .route("/validate/{policy}", post(validate_one))
            .route("/mutate/{policy}", post(mutate_one))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(|State(w): Asked| async move { w.readyz() }))
            .with_state(self.clone())
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether new requests are welcome; `false` once the process is to end.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::SeqCst);
    }

    fn readyz(&self) -> (StatusCode, &'static str) {
        match self.0.ready.load(Ordering::SeqCst) {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        }
    }

    async fn all(self, half: Half, request: Request) -> Result<Response, Refusal> {
        self.review(half, None, request).await
    }

    async fn one(self, half: Half, Path(name): Path<String>, request: Request) -> Result<Response, Refusal> {
        self.review(half, Some(&name), request).await
    }

    /// Answers, and counts what is not answered.
    async fn review(self, half: Half, name: Option<&str>, request: Request) -> Result<Response, Refusal> {
        let answered = match name.map(|name| self.find(name)).transpose() {
            Ok(policy) => self.respond(half, policy, request).await,
            Err(refusal) => Err(refusal),
        };
        answered.inspect_err(|refusal| self.0.metrics.refusal(refusal.status))
    }

    /// Where the policy of that name is.
    fn find(&self, name: &str) -> Result<usize, Refusal> {
        let index = self.0.config.policies.iter().position(|configured| configured.about.name == name);
        index.ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, format!("no policy `{}` is served", excerpt(name)))
        })
    }

    /// Reads the review within the caller's deadline, judges it, and answers.
    async fn respond(
        &self,
        half: Half,
        policy: Option<usize>,
        request: Request,
    ) -> Result<Response, Refusal> {
        check_headers(request.headers())?;
        let version = request.version();
        let timeout = timeout(request.uri().query());
        let answered = async {
            let body = read_body(request.into_body()).await?;
            if body.len() <= LARGE {
                return self.answer(half, policy, &body);
            }
            let webhook = self.clone();
            // Waits its turn within the caller's deadline; the permit goes when the work is done, not when the caller is.
            let permit = webhook.0.large.clone().acquire_owned().await.map_err(|_| Refusal::panicked())?;
            let judge = move || (webhook.answer(half, policy, &body), permit).0;
            let judged = tokio::task::spawn_blocking(judge).await;
            judged.unwrap_or_else(|_| Err(Refusal::panicked()))
        };
        let answer = tokio::time::timeout(timeout, answered).await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, format!("not answered within {timeout:?}")))
        })?;
        let mut response = ([(header::CONTENT_TYPE, "application/json")], answer).into_response();
        if version <= Version::HTTP_11 && !self.0.ready.load(Ordering::Relaxed) {
            // The caller closes the connection itself: were it closed from here, a request on its way would be lost.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Decodes, judges and encodes: no waiting, no I/O. A panic is a bug, and an error to the API server.
    fn answer(&self, half: Half, policy: Option<usize>, body: &Bytes) -> Result<String, Refusal> {
        let Config { policies, exceptions, .. } = &self.0.config;
        let policies = match policy.and_then(|index| policies.get(index)) {
            Some(one) => std::slice::from_ref(one),
            None => policies,
        };
        let since = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            with_arena(|arena| {
                let review = Review::decode(body, arena).map_err(Refusal::unreadable)?;
                let mut verdicts = admit(policies, &review.request, &*self.0.cluster, half);
                if let Some(fault) = verdicts.fault {
                    self.0.metrics.faulty_patch();
                    return Err(Refusal::faulty(&fault));
                }
                verdicts.keep(half);
                for excepted in exceptions.apply(&review.request, &mut verdicts) {
                    self.0.metrics.excepted(excepted.policy, &excepted.exception.control);
                }
                let answer = review.answer(&verdicts, half);
                let outcome = case::outcome(&verdicts);
                self.0.metrics.review(half, review.request.operation, outcome, since.elapsed());
                Ok(answer)
            })
        }));
        judged.unwrap_or_else(|_| Err(Refusal::panicked()))
    }
}

/// Lends the thread's arena, so that most reviews are decoded without asking the system for memory.
fn with_arena<T>(work: impl FnOnce(&Arena) -> T) -> T {
    thread_local! {
        static ARENA: RefCell<Arena> = RefCell::new(Arena::new());
    }
    ARENA.with(|cell| {
        let mut arena = cell.take();
        let result = work(&arena);
        arena.reset();
        if arena.allocated_bytes() <= KEPT {
            cell.replace(arena);
        }
        result
    })
}

/// An HTTP error with a reason: what goes wrong in the wire is no verdict.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Refusal { status, reason: reason.into() }
    }

    fn too_large() -> Self {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the review is larger than {BODY_LIMIT} bytes"))
    }

    fn unreadable(error: ReviewError) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// An API server that is told to ignore failures goes on without the patch; the object is judged as it is then.
    fn faulty(fault: &str) -> Self {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, fault)
    }

    fn panicked() -> Self {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "a bug in pratique: the request could not be judged")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.reason + "\n")
            .into_response()
    }
}

/// Refuses by its headers what need not be read.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = header(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let reason = format!("the content type must be application/json, is `{}`", excerpt(media_type));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    if let Some(encoding) = header(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let reason = format!("the body must not be encoded, is `{}`", excerpt(encoding));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    match header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > BODY_LIMIT as u64 => Err(Refusal::too_large()),
        _ => Ok(()),
    }
}

/// Reads the body, and stops at the limit.
async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::too_large()),
        Err(error) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        }
    }
}

/// What the API server appends to the URL: `?timeout=10s`, a Go duration of whole seconds.
fn timeout(query: Option<&str>) -> Duration {
    let given = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let (number, unit) = match given
        .map(|text| text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())))
    {
        Some(parts) => parts,
        None => return DEFAULT_TIMEOUT,
    };
    match (number.parse(), unit) {
        (Ok(seconds @ 1..), "s") => Duration::from_secs(seconds).min(MAX_TIMEOUT),
        (Ok(milliseconds @ 1..), "ms") => Duration::from_millis(milliseconds).min(MAX_TIMEOUT),
        _ => DEFAULT_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_timeout_is_read() {
        assert_eq!(timeout(Some("timeout=5s")), Duration::from_secs(5));
        assert_eq!(timeout(Some("a=b&timeout=250ms")), Duration::from_millis(250));
        assert_eq!(timeout(Some("timeout=99999s")), MAX_TIMEOUT);
        for default in
            [None, Some(""), Some("timeout="), Some("timeout=0s"), Some("timeout=1h"), Some("timeout=-1s")]
        {
            assert_eq!(timeout(default), DEFAULT_TIMEOUT);
        }
    }
}
