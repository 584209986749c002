//! The arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Selection, validate};

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub selection: Selection,
    /// The address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// The address for Prometheus metrics, at /metrics over plain HTTP. Default: metrics are not served
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub tls: TlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub cluster: ClusterArgs,
    /// The time after SIGTERM in which requests are still accepted, although not ready, so that endpoints can be removed
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub drain: u64,
    /// The format of log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Send a trace of each review to this OpenTelemetry collector, as OTLP/HTTP with JSON: `http://collector:4318`
    #[arg(long, value_name = "http://HOST:PORT")]
    pub otlp_endpoint: Option<String>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// The server certificate, and the client certificates that are required.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// The certificate chain, PEM, reloaded when it changes. Without this and --tls-service, a self-signed certificate is
    /// created at startup, for loopback addresses only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Issue and renew the certificate of this Service. It is stored in the Secret NAME-tls in the same namespace, and its CA
    /// is written to the webhook configurations (--registered-as). Requires a cluster, and the RBAC that `pratique policies
    /// --webhook-configuration --self-managed` prints
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "tls_cert", value_parser = validate::namespaced)]
    pub tls_service: Option<(String, String)>,
    /// An additional name or address for the certificate; can be repeated
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls_service")]
    pub tls_names: Vec<String>,
    /// The name of the MutatingWebhookConfiguration and ValidatingWebhookConfiguration whose caBundle is kept up to date
    #[arg(long, value_name = "NAME", default_value = "pratique", requires = "tls_service")]
    pub registered_as: String,
    /// Require a client certificate signed by this CA, PEM. Probes work without one
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// A common name that client certificates may have; can be repeated. Default: any name
    #[arg(long = "client-name", value_name = "CN", requires = "client_ca")]
    pub client_names: Vec<String>,
}

/// The cluster to watch, and the behavior when its data is stale.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// The kubeconfig of the cluster to watch; its current context is used. Without this and --in-cluster, policies have no
    /// cluster data
    #[arg(long, value_name = "FILE", conflicts_with = "in_cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Watch the cluster that this process runs in, with the service account of the pod
    #[arg(long)]
    pub in_cluster: bool,
    /// The time without an update from the API server after which cluster data is stale
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(2..))]
    pub stale_after: u64,
    /// The behavior when cluster data is stale
    #[arg(long, value_enum, default_value_t)]
    pub when_stale: WhenStale,
}

impl ClusterArgs {
    /// Whether a cluster to watch is configured.
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.in_cluster
    }
}

/// The behavior when cluster data is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenStale {
    /// Deny requests that cannot be decided without it
    #[default]
    Deny,
    /// Keep using the last known data
    Use,
}
