//! What the webhook says of itself while it serves: log lines on standard error, traces to an OpenTelemetry collector. Neither
//! ever holds an object.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
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
use policy_core::{Half, Outcome};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::args::LogFormat;
use crate::judge::Said;

/// How long a collector may take.
const EXPORT: Duration = Duration::from_secs(5);

/// Starts to write events to standard error, from a thread of its own: where nobody reads it, lines are dropped and no review
/// waits. What is written when the guard goes is all there is.
pub fn log(format: LogFormat) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let events = tracing_subscriber::fmt().with_writer(writer).with_target(false);
    // It is set once; whoever has set it before wants it that way.
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
    guard
}

/// What is asked, as far as a log may know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) half: Half,
    pub(crate) request: &'a policy_core::Request<'a>,
}

impl Asked<'_> {
    fn name(&self) -> &str {
        self.request.display_name().unwrap_or_default()
    }

    /// A line for each policy that denies, or would: who, what, and which fields; never what is in them.
    pub(crate) fn log(&self, said: &[Said]) {
        for said in said.iter().filter(|said| said.outcome == Outcome::Deny) {
            let request = self.request;
            tracing::info!(
                uid = %excerpt(request.uid),
                operation = request.operation.as_str(),
                kind = %excerpt(request.kind.name),
                subresource = %excerpt(request.sub_resource),
                namespace = %excerpt(request.namespace),
                name = %excerpt(self.name()),
                dry_run = request.dry_run,
                webhook = self.half.as_str(),
                policy = said.about.name,
                mode = said.mode.as_str(),
                undecided = said.undecided,
                fields = said.fields.join(", "),
                "denied"
            );
        }
    }
}

/// Where traces go; nowhere, unless somebody asks for them.
#[derive(Default)]
pub struct Traces {
    to: Option<(SdkTracerProvider, SdkTracer)>,
}

impl Traces {
    /// To an OTLP collector at a URL such as `http://collector:4318`, over HTTP with JSON. What else is to be said, such as how
    /// many are sampled, the environment says as OpenTelemetry has it (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`).
    ///
    /// # Errors
    /// The URL is none, or there is no runtime around.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        let client = OnRuntime {
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
        Ok(Traces { to: Some((provider, tracer)) })
    }

    /// Begins the span of a review; its parent is the caller's (W3C Trace Context).
    pub(crate) fn start(&self, half: Half, headers: &HeaderMap) -> Trace {
        Trace(self.to.as_ref().map(|(_, tracer)| {
            let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
            let span = tracer.span_builder(half.as_str()).with_kind(SpanKind::Server);
            span.start_with_context(tracer, &parent)
        }))
    }

    /// Sends what is left. It waits, and not on a thread of the runtime.
    pub(crate) fn end(&self) {
        if let Some((provider, _)) = &self.to
            && let Err(error) = provider.shutdown_with_timeout(EXPORT)
        {
            tracing::warn!("the last traces are lost: {error}");
        }
    }
}

/// The span of one review, until it is dropped.
pub(crate) struct Trace(Option<Span>);

impl Trace {
    /// What was asked, and what came of it.
    pub(crate) fn say(&mut self, asked: Asked<'_>, outcome: Outcome) {
        let Some(span) = &mut self.0 else { return };
        let request = asked.request;
        span.set_attributes([
            KeyValue::new("admission.uid", excerpt(request.uid).into_owned()),
            KeyValue::new("admission.operation", request.operation.as_str()),
            KeyValue::new("admission.kind", excerpt(request.kind.name).into_owned()),
            KeyValue::new("admission.outcome", outcome.as_str()),
            KeyValue::new("k8s.namespace.name", excerpt(request.namespace).into_owned()),
            KeyValue::new("k8s.object.name", excerpt(asked.name()).into_owned()),
        ]);
    }

    /// That there was no verdict, and why.
    pub(crate) fn fail(&mut self, reason: &str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(reason.to_owned()));
        }
    }
}

/// A client whose work is done by a runtime, whoever waits for it: spans are sent from a thread that has none.
#[derive(Debug)]
struct OnRuntime {
    runtime: tokio::runtime::Handle,
    client: HyperClient,
}

impl HttpClient for OnRuntime {
    // What `async_trait` makes of it.
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
        Box::pin(async move { sent.await? })
    }
}
