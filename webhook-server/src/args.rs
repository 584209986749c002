//! What can be asked on the command line.

#[cfg(feature = "server")]
mod demo;
mod report;
#[cfg(feature = "server")]
mod serve;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

#[cfg(feature = "server")]
pub use demo::{DemoArgs, PlaygroundArgs};
pub use report::{FailOn, ReportArgs, ReportFormat};
#[cfg(feature = "server")]
pub use serve::{ClusterArgs, LogFormat, ServeArgs, TlsArgs, WhenStale};

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
    /// Explain a policy, or one of its controls: what it asks, why, of which fields, how to fix a denial, with examples.
    Explain {
        /// `POLICY` or `POLICY/CONTROL`, as a report names them
        #[arg(value_name = "POLICY[/CONTROL]")]
        what: String,
    },
    /// Explain where an autoscaler's metric comes from in a set of manifests: a line of links, down to the port that is scraped.
    ExplainMetric(ExplainMetricArgs),
    #[cfg(feature = "server")]
    /// Serve the policies as an admission webhook, over TLS.
    Serve(Box<ServeArgs>),
    #[cfg(feature = "server")]
    /// Start the webhook on a free loopback port, send it every object of a path as an API server would, and stop.
    Demo(DemoArgs),
    #[cfg(feature = "server")]
    /// Serve a page on loopback on which manifests are judged as they are typed; nothing leaves it.
    Playground(PlaygroundArgs),
    /// Print a completion script: `pratique completions bash > /etc/bash_completion.d/pratique`.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages, one for each command.
    Man {
        /// The folder to write them to, such as /usr/local/share/man/man1
        folder: PathBuf,
    },
}

/// How a command ended that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// All is well.
    Success,
    /// Something was denied, or a case failed.
    Denied,
    /// Something could not be read; the rest was judged.
    Unreadable,
}

impl From<ExitStatus> for ExitCode {
    fn from(end: ExitStatus) -> Self {
        ExitCode::from(match end {
            ExitStatus::Success => 0,
            ExitStatus::Denied => 1,
            ExitStatus::Unreadable => 2,
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
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub report: ReportArgs,
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

/// Arguments of `explain-metric`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainMetricArgs {
    /// The metric, as autoscalers ask for it
    #[arg(value_name = "NAME")]
    pub metric: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub manifests: Manifests,
}

/// Arguments of `connectivity`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectivityArgs {
    /// Files, directories, or `-` for standard input
    #[arg(required_unless_present = "diff", conflicts_with = "diff", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The form of the map
    #[arg(long, short, value_enum, default_value_t)]
    pub output: MapFormat,
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
pub enum MapFormat {
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
    #[arg(value_name = "NAME", conflicts_with_all = ["webhook_configuration", "kubewarden", "schema"])]
    pub name: Option<String>,
    /// The form of the list
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// Print, as YAML, what registers the webhook at an API server: both webhook configurations, and the service account with
    /// its RBAC
    #[arg(long)]
    pub webhook_configuration: bool,
    /// Print, as YAML, Kubewarden's resources for the same policies; their modules are under this place, such as
    /// `registry.example.com/policies`
    #[arg(long, value_name = "REGISTRY", conflicts_with = "webhook_configuration", value_parser = validate::registry)]
    pub kubewarden: Option<String>,
    /// Print the JSON Schema of policies.yaml
    #[arg(long, conflicts_with_all = ["webhook_configuration", "kubewarden"])]
    pub schema: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take a doc comment here for its own")]
    pub registration: RegistrationArgs,
}

/// How what registers policies is to be.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "With --webhook-configuration and --kubewarden")]
pub struct RegistrationArgs {
    /// The file that lists the policies; all of them with default settings, if not given
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The webhook's Service
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "pratique/webhook", value_parser = validate::namespaced)]
    pub service: (String, String),
    /// Call the webhook at this URL, not by its Service: https://HOST:PORT
    #[arg(long, value_name = "URL", requires = "trust", value_parser = validate::url)]
    pub url: Option<String>,
    /// Trust the certificates in this file, PEM; without it and --self-managed, cert-manager puts there what is to be trusted:
    /// the CA of the Certificate that is named like the Service
    #[arg(long, value_name = "FILE", group = "trust")]
    pub ca_bundle: Option<PathBuf>,
    /// The webhook looks after its own certificate: `serve --tls-service`
    #[arg(long, group = "trust")]
    pub self_managed: bool,
    /// A namespace that is not judged, beside cert-manager, kube-node-lease, kube-system and that of the Service; may be given
    /// again
    #[arg(long = "exempt", value_name = "NS", value_parser = validate::name)]
    pub exempt: Vec<String>,
}
