//! The webhook, without the network around it: routes, limits, deadlines; reviews in, answers out.

mod room;
mod wire;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use policy_core::path::excerpt;
use policy_core::{Arena, Cluster, Half, NoCluster, Review, admit, case};
use tokio::sync::Semaphore;

use crate::cluster::Watched;
use crate::config::Config;
use crate::metrics::Metrics;
use room::Room;
use wire::{Refusal, check_headers, read_body, timeout};

/// The largest review: object and old object of 3 MiB each, which is what an API server takes, and 1 MiB for the rest.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
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
    /// The same cluster, where it is watched: until it is known, nobody is welcome.
    watched: Option<Arc<Watched>>,
    metrics: Metrics,
    ready: AtomicBool,
    /// One permit for each large review that may be judged at a time: they take the memory.
    large: Arc<Semaphore>,
    room: Room,
}

impl Webhook {
    /// A webhook that asks these policies, and is ready. It knows of no cluster.
    pub fn new(config: impl Into<Config>) -> Self {
        Webhook::with_cluster(config, Arc::new(NoCluster))
    }

    /// A webhook that asks these policies about objects in that cluster.
    pub fn with_cluster(config: impl Into<Config>, cluster: Arc<dyn Cluster + Send + Sync>) -> Self {
        Webhook::make(config.into(), cluster, None)
    }

    /// The same in a cluster that is watched: the webhook is ready once that is known.
    pub fn watching(config: impl Into<Config>, watched: Arc<Watched>) -> Self {
        Webhook::make(config.into(), watched.clone(), Some(watched))
    }

    fn make(config: Config, cluster: Arc<dyn Cluster + Send + Sync>, watched: Option<Arc<Watched>>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let large = Arc::new(Semaphore::new(processors));
        let metrics = Metrics::new(watched.clone());
        let (ready, room) = (AtomicBool::new(true), Room::new());
        Webhook(Arc::new(Inner { config, cluster, watched, metrics, ready, large, room }))
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

    fn readyz(&self) -> (StatusCode, String) {
        let unknown = self.0.watched.as_ref().map(|watched| watched.unknown()).unwrap_or_default();
        match (self.0.ready.load(Ordering::SeqCst), unknown.as_slice()) {
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned()),
            (true, []) => (StatusCode::OK, "ok\n".to_owned()),
            (true, kinds) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the cluster is not known yet: {}\n", kinds.join(", ")),
            ),
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
            let (body, share) = read_body(request.into_body(), &self.0.room).await?;
            if body.len() <= LARGE {
                return self.answer(half, policy, &body);
            }
            let webhook = self.clone();
            // Waits its turn within the caller's deadline; what it holds goes when the work is done, not when the caller is.
            let permit = webhook.0.large.clone().acquire_owned().await.map_err(|_| Refusal::panicked())?;
            let judge = move || (webhook.answer(half, policy, &body), permit, share).0;
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
    fn answer(&self, half: Half, policy: Option<usize>, body: &[u8]) -> Result<String, Refusal> {
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
