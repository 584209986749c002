//! Handles one review: reads it within the deadline of the caller, evaluates it and answers.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use policy_core::path::excerpt;
use policy_core::{AdmissionPhase, Arena, Review, case};

use super::http::{HttpError, check_headers, read_body, timeout};
use super::{ActiveConfig, LARGE, Webhook};
use crate::server::telemetry::{RequestContext, RequestSpan, TraceExporter};
use crate::server::tls::clients::Caller;

/// The maximum size of the arena that a thread keeps between reviews.
const KEPT: usize = 256 * 1024;

/// One request, with the configuration that was active when it arrived.
#[derive(Clone)]
pub(super) struct AdmissionCall {
    pub(super) webhook: Webhook,
    pub(super) rules: Arc<ActiveConfig>,
    pub(super) phase: AdmissionPhase,
    /// The only policy to run; `None` for all.
    pub(super) name: Option<String>,
}

impl AdmissionCall {
    /// Checks the client certificate and the name of the policy.
    pub(super) fn check(&self, request: &Request) -> Result<(), HttpError> {
        if request.extensions().get() == Some(&Caller::Untrusted) {
            let reason = "a trusted client certificate is required (--client-ca)";
            return Err(HttpError::new(StatusCode::UNAUTHORIZED, reason));
        }
        let Some(name) = &self.name else { return Ok(()) };
        let reason = match self.rules.config.only(name) {
            None => format!("policy `{}` is not configured", excerpt(name)),
            // Otherwise a webhook that is registered with this path would seem to enforce the policy.
            Some(policies) if self.phase == AdmissionPhase::Mutating && !policies.mutates() => {
                format!("`{name}` is not a mutating policy: use /validate/{name}")
            }
            Some(_) => return Ok(()),
        };
        Err(HttpError::new(StatusCode::NOT_FOUND, reason))
    }

    /// Reads the review within the deadline of the caller, evaluates it and answers.
    pub(super) async fn respond(self, request: Request) -> Result<Response, HttpError> {
        let nowhere = TraceExporter::default();
        let webhook = self.webhook.clone();
        let trace = webhook.traces().unwrap_or(&nowhere).start(self.phase, request.headers());
        let answered = self.respond_in_time(request, trace.clone()).await;
        answered.inspect_err(|refusal| trace.fail(&refusal.reason))
    }

    async fn respond_in_time(self, request: Request, trace: RequestSpan) -> Result<Response, HttpError> {
        check_headers(request.headers())?;
        let version = request.version();
        let (timeout, since) = (timeout(request.uri().query()), Instant::now());
        let webhook = self.webhook.clone();
        // Determines the error after a timeout: before this is set, the review did not arrive in time.
        let accepted = AtomicBool::new(false);
        let answered = async {
            let (body, reservation) = read_body(request.into_body(), &webhook.0.memory_limit).await?;
            if body.len() <= LARGE {
                accepted.store(true, Ordering::Relaxed);
                return self.answer(&body, &trace);
            }
            // The permit and the memory reservation are held until the work is done, even if the caller is gone before.
            let permit = webhook
                .0
                .concurrency_limit
                .take(body.len(), since + timeout)
                .await
                .ok_or_else(HttpError::overloaded)?;
            accepted.store(true, Ordering::Relaxed);
            let evaluate = move || (self.answer(&body, &trace), permit, reservation).0;
            let evaluated = tokio::task::spawn_blocking(evaluate).await;
            evaluated.unwrap_or_else(|_| Err(HttpError::panicked()))
        };
        let answer = tokio::time::timeout(timeout, answered).await.unwrap_or_else(|_| {
            Err(match accepted.load(Ordering::Relaxed) {
                true => HttpError::late(timeout),
                false => HttpError::body_timeout(timeout),
            })
        })?;
        let mut response = ([(header::CONTENT_TYPE, "application/json")], answer).into_response();
        if version <= Version::HTTP_11 && !webhook.0.ready.load(Ordering::Relaxed) {
            // Ask the caller to close the connection. If the server closed it, a request in transit would be lost.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Decodes, evaluates and encodes, without I/O. A panic is a bug, and is returned as an error to the API server.
    fn answer(&self, body: &[u8], trace: &RequestSpan) -> Result<String, HttpError> {
        let since = Instant::now();
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            with_arena(|arena| {
                let review = Review::decode(body, arena).map_err(HttpError::unreadable)?;
                self.evaluate(&review, since, trace)
            })
        }));
        evaluated.unwrap_or_else(|_| Err(HttpError::panicked()))
    }

    fn evaluate(
        &self,
        review: &Review<'_>,
        since: Instant,
        trace: &RequestSpan,
    ) -> Result<String, HttpError> {
        let metrics = &self.webhook.0.metrics;
        let ActiveConfig { config, cluster, .. } = &*self.rules;
        let policies = self.name.as_ref().map_or(Some(config.all()), |name| config.only(name));
        let policies = policies.ok_or_else(HttpError::panicked)?;
        let mut evaluated = policies.evaluate(&review.request, &**cluster, self.phase);
        if let Some(fault) = evaluated.verdicts.fault {
            metrics.invalid_patch();
            return Err(HttpError::faulty(&fault));
        }
        evaluated.keep(self.phase);
        for excepted in &evaluated.excepted {
            metrics.excepted(excepted.policy, &excepted.exception.control);
        }
        let context = RequestContext { phase: self.phase, request: &review.request };
        context.log(&evaluated.outcomes);
        for outcome in &evaluated.outcomes {
            metrics.outcome(outcome, &review.request);
        }
        let answer = review.answer(&evaluated.verdicts, self.phase);
        let outcome = case::outcome(&evaluated.verdicts);
        trace.say(context, outcome);
        metrics.review(self.phase, review.request.operation, outcome, since.elapsed());
        Ok(answer)
    }
}

/// Runs work with the arena of this thread, so that most reviews are decoded without allocations.
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
