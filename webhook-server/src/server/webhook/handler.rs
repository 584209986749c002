//! One review: read within its caller's deadline, judged by the rules that held when it came, answered.

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

/// What a thread keeps of an arena from one review to the next.
const KEPT: usize = 256 * 1024;

/// One call, and the rules that hold for it to its end.
#[derive(Clone)]
pub(super) struct AdmissionCall {
    pub(super) webhook: Webhook,
    pub(super) rules: Arc<ActiveConfig>,
    pub(super) half: AdmissionPhase,
    /// The one policy that is asked; all, if there is none.
    pub(super) name: Option<String>,
}

impl AdmissionCall {
    /// Whether this caller may ask for this policy.
    pub(super) fn check(&self, request: &Request) -> Result<(), HttpError> {
        if request.extensions().get() == Some(&Caller::Stranger) {
            let reason = "a client certificate of the API server is wanted (--client-ca)";
            return Err(HttpError::new(StatusCode::UNAUTHORIZED, reason));
        }
        let Some(name) = &self.name else { return Ok(()) };
        let reason = match self.rules.config.only(name) {
            None => format!("no policy `{}` is served", excerpt(name)),
            // Whoever registers that would think that it is judged.
            Some(choice) if self.half == AdmissionPhase::Mutating && !choice.mutates() => {
                format!("`{name}` changes nothing: ask /validate/{name}")
            }
            Some(_) => return Ok(()),
        };
        Err(HttpError::new(StatusCode::NOT_FOUND, reason))
    }

    /// Reads the review within the caller's deadline, judges it, and answers.
    pub(super) async fn respond(self, request: Request) -> Result<Response, HttpError> {
        let nowhere = TraceExporter::default();
        let webhook = self.webhook.clone();
        let trace = webhook.traces().unwrap_or(&nowhere).start(self.half, request.headers());
        let answered = self.respond_in_time(request, trace.clone()).await;
        answered.inspect_err(|refusal| trace.fail(&refusal.reason))
    }

    async fn respond_in_time(self, request: Request, trace: RequestSpan) -> Result<Response, HttpError> {
        check_headers(request.headers())?;
        let version = request.version();
        let (timeout, since) = (timeout(request.uri().query()), Instant::now());
        let webhook = self.webhook.clone();
        // Until then nothing was promised.
        let accepted = AtomicBool::new(false);
        let answered = async {
            let (body, share) = read_body(request.into_body(), &webhook.0.room).await?;
            if body.len() <= LARGE {
                accepted.store(true, Ordering::Relaxed);
                return self.answer(&body, &trace);
            }
            // Waits its turn within the caller's deadline; what it holds goes when the work is done, not when the caller is.
            let turn =
                webhook.0.turns.take(body.len(), since + timeout).await.ok_or_else(HttpError::no_room)?;
            accepted.store(true, Ordering::Relaxed);
            let evaluate = move || (self.answer(&body, &trace), turn, share).0;
            let evaluated = tokio::task::spawn_blocking(evaluate).await;
            evaluated.unwrap_or_else(|_| Err(HttpError::panicked()))
        };
        let answer = tokio::time::timeout(timeout, answered).await.unwrap_or_else(|_| {
            Err(match accepted.load(Ordering::Relaxed) {
                true => HttpError::late(timeout),
                false => HttpError::not_arrived(timeout),
            })
        })?;
        let mut response = ([(header::CONTENT_TYPE, "application/json")], answer).into_response();
        if version <= Version::HTTP_11 && !webhook.0.ready.load(Ordering::Relaxed) {
            // The caller closes the connection itself: were it closed from here, a request on its way would be lost.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Decodes, judges and encodes: no waiting, no I/O. A panic is a bug, and an error to the API server.
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
        let choice = self.name.as_ref().map_or(Some(config.all()), |name| config.only(name));
        let choice = choice.ok_or_else(HttpError::panicked)?;
        let mut evaluated = choice.evaluate(&review.request, &**cluster, self.half);
        if let Some(fault) = evaluated.verdicts.fault {
            metrics.faulty_patch();
            return Err(HttpError::faulty(&fault));
        }
        evaluated.keep(self.half);
        for excepted in &evaluated.excepted {
            metrics.excepted(excepted.policy, &excepted.exception.control);
        }
        let context = RequestContext { half: self.half, request: &review.request };
        context.log(&evaluated.outcomes);
        for outcomes in &evaluated.outcomes {
            metrics.outcomes(outcomes, &review.request);
        }
        let answer = review.answer(&evaluated.verdicts, self.half);
        let outcome = case::outcome(&evaluated.verdicts);
        trace.say(context, outcome);
        metrics.review(self.half, review.request.operation, outcome, since.elapsed());
        Ok(answer)
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
