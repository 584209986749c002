//! What can be asked on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Judges Kubernetes manifests and admission requests by policies written in Rust.
#[derive(Debug, Parser)]
#[command(name = "pratique", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge manifests as a cluster would when they are created.
    ///
    /// Exit code 0: all admitted. 1: something denied. 2: could not run, or could not read something.
    Check(CheckArgs),
    /// Print manifests as they will run: with what admission would add to the pods that they make.
    ///
    /// Comments, order and style of all else are kept. Applied in that form, the pods are left alone by the webhook.
    /// Exit code 1: a policy that changes pods denies one. 2: could not run, or could not read or write something. Nothing is
    /// printed then. What other policies deny is for `check` to say.
    Render(RenderArgs),
    /// Show who can talk to whom, as NetworkPolicies have it.
    ///
    /// A flow a line: `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`. Pods go under the name of the workload that
    /// makes them, addresses outside of the cluster as the ranges that the policies tell apart. Exit code 1: `--explain` finds
    /// the connection denied, or `--intended` finds another map than was meant. 2: could not run, or could not read something.
    Connectivity(ConnectivityArgs),
    /// Run cases: examples of requests with the verdict they must give.
    Test(TestArgs),
    /// List the policies, or describe one.
    Policies(PoliciesArgs),
    /// Serve the policies as an admission webhook, over TLS.
    Serve(ServeArgs),
    /// Start the webhook on a free loopback port, send it every object of a path as an API server would, and stop.
    Demo(DemoArgs),
}

/// How a command ended that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is well.
    Well,
    /// Something was denied, or a case failed.
    Denied,
    /// Something could not be read; the rest was judged.
    Unreadable,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        ExitCode::from(match end {
            End::Well => 0,
            End::Denied => 1,
            End::Unreadable => 2,
        })
    }
}

/// Which policies, with which settings.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// A file that lists policies, their settings and exceptions; if not given, `policies.yaml` in the one directory that
    /// is judged, or all policies with default settings (those that need to know the cluster only where one is given)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only this policy; may be given again
    #[arg(long = "policy", value_name = "NAME")]
    pub policies: Vec<String>,
    /// Settings of a policy, as JSON, instead of what the file or the default says; may be given again
    #[arg(long = "set", value_name = "NAME={json}")]
    pub settings: Vec<String>,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Human,
    /// For programs: one JSON object
    Json,
}

/// Which manifests, by which policies.
#[derive(Clone, Debug, clap::Args)]
pub struct Manifests {
    /// Files, directories, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub selection: Selection,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NS", default_value = "default")]
    pub namespace: String,
}

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub manifests: Manifests,
    /// The form of the report
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Arguments of `render`.
#[derive(Clone, Debug, clap::Args)]
pub struct RenderArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub manifests: Manifests,
    /// Print only what differs, as `diff -u` does
    #[arg(long)]
    pub diff: bool,
}

/// Arguments of `connectivity`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectivityArgs {
    /// Files, directories, or `-` for standard input
    #[arg(required_unless_present = "diff", conflicts_with = "diff", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The form of the map
    #[arg(long, short, value_enum, default_value_t)]
    pub output: MapForm,
    /// Why the one can call the other, or cannot: a workload (`shop/web`, `shop/web[Deployment]`), an address, or as DST a
    /// Service (`shop/api[Service]`, whose port PORT is then); the port as `8080`, `TCP/8080` or `UDP/53`
    #[arg(long, num_args = 3, value_names = ["SRC", "DST", "PORT"], conflicts_with_all = ["diff", "intended", "output"])]
    pub explain: Option<Vec<String>>,
    /// The flows that are in NEW and not in OLD, and the other way round; exit code 0 also where they differ
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "intended")]
    pub diff: Option<Vec<PathBuf>>,
    /// A file that lists the flows that are meant to be; says which are missing, and which there are beside them
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub intended: Option<PathBuf>,
    /// Also the flows between pods of one workload
    #[arg(long)]
    pub within_workloads: bool,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NS", default_value = "default")]
    pub namespace: String,
}

/// The form of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MapForm {
    /// A flow a line
    #[default]
    Text,
    /// For programs: one JSON object
    Json,
    /// For spreadsheets: src,dst,conn
    Csv,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A picture
    Svg,
    /// A page: the picture, and the flows as a table
    Html,
}

/// Arguments of `test`.
#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// Case files, or directories that hold them in `<policy>/cases/`
    #[arg(default_value = "policies", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The policy of cases that name none and lie in no `<policy>/cases/`
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Write the verdicts into the files; a verdict that is not what a file's name says is still a failure
    #[arg(long)]
    pub bless: bool,
}

/// Arguments of `policies`.
#[derive(Clone, Debug, clap::Args)]
pub struct PoliciesArgs {
    /// The policy to describe
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The form of the list
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

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
    /// The certificate chain, PEM; without it one is made at start, for loopback addresses only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub cluster: ClusterArgs,
    /// How long to go on accepting after SIGTERM, not ready any more, while endpoints are withdrawn
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub drain: u64,
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

/// What to do when what is known of the cluster is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenStale {
    /// Deny what cannot be decided without it
    #[default]
    Deny,
    /// Go on with what is known
    Use,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// A file or a directory
    #[arg(default_value = "manifests", value_name = "PATH")]
    pub path: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub selection: Selection,
}
