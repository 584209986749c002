//! Logs on standard error, and traces to an OpenTelemetry collector. Neither contains objects.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use policy_core::path::excerpt;
use policy_core::{AdmissionPhase, Outcome};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use crate::args::LogFormat;
use crate::config::Mode;
use crate::evaluator::PolicyOutcome;

/// The timeout for a request to the collector.
const EXPORT: Duration = Duration::from_secs(5);

/// The maximum number of buffered log lines. The line of a denial has a few hundred bytes.
const LINES: usize = 4096;

/// The thread that writes the log.
pub struct LogWriter {
    /// Writes the remaining lines when it is dropped.
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl LogWriter {
    /// The number of lines that were dropped because standard error was not read fast enough.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Writes events to standard error from a separate thread. If it is not read, lines are dropped, so that reviews never wait.
/// The location of a panic is logged, but not its message, because that may contain parts of an object.
pub fn log(format: LogFormat) -> LogWriter {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES);
    let (writer, guard) = builder.finish(std::io::stderr());
    let dropped = writer.error_counter();
    let events = tracing_subscriber::fmt().with_writer(writer).with_target(false);
    // If a subscriber is already set, it stays in use.
    drop(match format {
        LogFormat::Text => {
            let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            tracing::subscriber::set_global_default(events.with_ansi(colored).finish())
        }
        LogFormat::Json => {
            let events = events.json().flatten_event(true).with_current_span(false).with_span_list(false);
            tracing::subscriber::set_global_default(events.finish())
        }
    });
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("a bug in pratique: panic at {place}");
    }));
    LogWriter { _writer: guard, dropped }
}

/// The parts of a request that may be logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext<'a> {
    pub(crate) phase: AdmissionPhase,
    pub(crate) request: &'a policy_core::Request<'a>,
}

impl RequestContext<'_> {
    fn name(&self) -> &str {
        self.request.display_name().unwrap_or_default()
    }

    /// Logs a line for each policy that denies, in any mode: the user, the object and the fields, but not their values.
    pub(crate) fn log(&self, outcomes: &[PolicyOutcome]) {
        for outcome in outcomes.iter().filter(|outcome| outcome.outcome == Outcome::Deny) {
            let request = self.request;
            let user = request.user_info.at("username").str().ok().flatten().unwrap_or_default();
            let word = if outcome.mode == Mode::Enforce { "denied" } else { "would be denied" };
            tracing::info!(
                uid = %excerpt(request.uid),
                operation = request.operation.as_str(),
                kind = %excerpt(request.kind.kind),
                subresource = %excerpt(request.sub_resource),
                namespace = %excerpt(request.namespace),
                name = %excerpt(self.name()),
                dry_run = request.dry_run,
                webhook = self.phase.as_str(),
                policy = outcome.metadata.name,
                mode = outcome.mode.as_str(),
                undecided = outcome.undecided,
                user = %excerpt(user),
                fields = outcome.fields.join(", "),
                "{word}"
            );
        }
    }
}

/// The destination of traces, if one is configured.
#[derive(Default)]
pub struct TraceExporter {
    to: Option<(SdkTracerProvider, SdkTracer)>,
}

impl TraceExporter {
    /// Exports to an OTLP collector at a URL such as `http://collector:4318`, over HTTP with JSON. Other options, such as
    /// sampling, come from OpenTelemetry's environment variables (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`).
    ///
    /// # Errors
    /// The URL is not valid, or this is called outside of a Tokio runtime.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        ensure!(endpoint.starts_with("http://"), "--otlp-endpoint {endpoint}: must be http://HOST:PORT");
        let endpoint = endpoint.trim_end_matches('/').trim_end_matches("/v1/traces");
        let client = RuntimeClient {
            runtime: tokio::runtime::Handle::try_current()?,
            client: HyperClient::with_default_connector(EXPORT, None),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(opentelemetry_otlp::Protocol::HttpJson)
            .with_timeout(EXPORT)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .with_context(|| format!("--otlp-endpoint {endpoint}"))?;
        let resource = Resource::builder()
            .with_service_name("pratique")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("pratique");
        Ok(TraceExporter { to: Some((provider, tracer)) })
    }

    /// Starts the span of a review, as a child of the caller's span (W3C Trace Context).
    pub(crate) fn start(&self, phase: AdmissionPhase, headers: &HeaderMap) -> RequestSpan {
        RequestSpan(self.to.as_ref().map(|(_, tracer)| {
            let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
            let span = tracer.span_builder(phase.as_str()).with_kind(SpanKind::Server);
            Arc::new(Mutex::new(span.start_with_context(tracer, &parent)))
        }))
    }

    /// Sends the remaining traces. This blocks, so do not call it on a thread of the runtime.
    pub(crate) fn end(&self) {
        if let Some((provider, _)) = &self.to
            && let Err(error) = provider.shutdown_with_timeout(EXPORT)
        {
            tracing::warn!("dropping the remaining traces: {error}");
        }
    }
}

/// The span of one review. It ends when all clones are dropped.
#[derive(Clone)]
pub(crate) struct RequestSpan(Option<Arc<Mutex<Span>>>);

impl RequestSpan {
    /// Records the request and its outcome.
    pub(crate) fn say(&self, context: RequestContext<'_>, outcome: Outcome) {
        let Some(span) = &self.0 else { return };
        let request = context.request;
        span.lock().unwrap_or_else(PoisonError::into_inner).set_attributes([
            KeyValue::new("admission.uid", excerpt(request.uid).into_owned()),
            KeyValue::new("admission.operation", request.operation.as_str()),
            KeyValue::new("admission.kind", excerpt(request.kind.kind).into_owned()),
            KeyValue::new("admission.outcome", outcome.as_str()),
            KeyValue::new("k8s.namespace.name", excerpt(request.namespace).into_owned()),
            KeyValue::new("k8s.object.name", excerpt(context.name()).into_owned()),
        ]);
    }

    /// Records why the review was not evaluated.
    pub(crate) fn fail(&self, reason: &str) {
        if let Some(span) = &self.0 {
            let status = Status::error(reason.to_owned());
            span.lock().unwrap_or_else(PoisonError::into_inner).set_status(status);
        }
    }
}

/// An HTTP client that runs on a given runtime, because spans are sent from a thread without one.
#[derive(Debug)]
struct RuntimeClient {
    runtime: tokio::runtime::Handle,
    client: HyperClient,
}

impl HttpClient for RuntimeClient {
    // The expanded form of an `async_trait` method.
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move {
            let answered = sent.await?;
            match &answered {
                Ok(response) if !response.status().is_success() => {
                    tracing::warn!("dropping traces: collector returned {}", response.status());
                }
                Err(error) => tracing::warn!("dropping traces: {error}"),
                Ok(_) => {}
            }
            answered
        })
    }
}
