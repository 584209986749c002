//! What can be said to `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Selection, validate};

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub selection: Selection,
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Where to serve metrics to Prometheus, at /metrics in plain HTTP; nowhere, if not given
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub tls: TlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub cluster: ClusterArgs,
    /// How long to go on accepting after SIGTERM, not ready any more, while endpoints are withdrawn
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub drain: u64,
    /// The form of what is said on standard error
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Send a trace of each review to this OpenTelemetry collector, by OTLP with JSON over HTTP: `http://collector:4318`
    #[arg(long, value_name = "http://HOST:PORT")]
    pub otlp_endpoint: Option<String>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: a JSON object a line
    Json,
}

/// Which certificate is shown, and which are wanted.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// The certificate chain, PEM, read again whenever it changes; with neither this nor --tls-service one is made at start,
    /// for loopback addresses only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Make the certificate of this Service and renew it: kept in the Secret NAME-tls beside it, and trusted by the webhook
    /// configurations (--registered-as). Needs a cluster, and the RBAC that `pratique policies
    /// --webhook-configuration --self-managed` prints
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "tls_cert", value_parser = validate::namespaced)]
    pub tls_service: Option<(String, String)>,
    /// Another name or address that the certificate is for; may be given again
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls_service")]
    pub tls_names: Vec<String>,
    /// The name of the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration whose caBundle is kept
    #[arg(long, value_name = "NAME", default_value = "pratique", requires = "tls_service")]
    pub registered_as: String,
    /// Answer only callers that show a certificate of this CA, PEM. Probes are answered all the same
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// The common name of callers that are answered; any that the CA signed, if not given; may be given again
    #[arg(long = "client-name", value_name = "CN", requires = "client_ca")]
    pub client_names: Vec<String>,
}

/// Which cluster is looked at, and what if it is silent.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// The cluster whose objects policies look at, as its current context has it; none, if neither this nor --in-cluster is
    /// given
    #[arg(long, value_name = "FILE", conflicts_with = "in_cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Look at the cluster that this runs in, with the service account of the pod
    #[arg(long)]
    pub in_cluster: bool,
    /// After how long without a word from the API server what is known of the cluster is too old
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(2..))]
    pub stale_after: u64,
    /// What to do when it is too old
    #[arg(long, value_enum, default_value_t)]
    pub when_stale: WhenStale,
}

impl ClusterArgs {
    /// Whether there is one to look at.
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.in_cluster
    }
}

/// What to do when what is known of the cluster is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenStale {
    /// Deny what cannot be decided without it
    #[default]
    Deny,
    /// Go on with what is known
    Use,
}
