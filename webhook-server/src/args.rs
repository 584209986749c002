//! The command-line arguments.

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

/// Checks Kubernetes manifests and admission requests against policies written in Rust.
#[derive(Debug, Parser)]
#[command(name = "pratique", version, max_term_width = 100)]
pub struct Args {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check manifests against the policies, as an admission webhook would when the objects are created.
    ///
    /// Exit code 0: everything is admitted. 1: something is denied, or an exception is unused. 2: the command cannot run, or
    /// cannot read an input.
    Check(CheckArgs),
    /// Print manifests with the changes that mutating policies would make to the objects and to the pods that they create.
    ///
    /// Comments, order and style are kept. If you apply the output, the webhook has nothing left to change. Only denials of
    /// mutating policies count here; use `check` for all policies. Exit code 1: a mutating policy denies an object. 2: the
    /// command cannot run, or cannot read or change an input. On an error, no manifests are printed.
    Render(RenderArgs),
    /// Show which connections NetworkPolicies allow between workloads.
    ///
    /// One connection per line: `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`. Pods appear under the name of their
    /// workload, external addresses as the IP ranges that the policies distinguish. Exit code 1: `--explain` finds the
    /// connection denied, or `--expected` finds differences. 2: the command cannot run, or cannot read an input.
    Connectivity(ConnectivityArgs),
    /// Run case files: example requests with their expected verdicts.
    ///
    /// Exit code 1: a case fails. 2: the command cannot run.
    Test(TestArgs),
    /// List the policies, or describe one.
    Policies(PoliciesArgs),
    /// Explain a policy or one of its controls: its requirements, the reason for them, the fields, and how to fix a denial.
    Explain {
        /// `POLICY` or `POLICY/CONTROL`, as shown in reports
        #[arg(value_name = "POLICY[/CONTROL]")]
        what: String,
    },
    /// Explain where an autoscaler's metric comes from in a manifest set, link by link down to the scraped port.
    ///
    /// Exit code 1: a link is broken. 2: the command cannot run, cannot read an input, or no autoscaler uses the metric.
    ExplainMetric(ExplainMetricArgs),
    #[cfg(feature = "server")]
    /// Serve the policies as an admission webhook, over TLS.
    Serve(Box<ServeArgs>),
    #[cfg(feature = "server")]
    /// Start the webhook on a free loopback port, send it every object in a path as an API server would, and stop.
    ///
    /// Exit code 1: an object is denied. 2: the command cannot run.
    Demo(DemoArgs),
    #[cfg(feature = "server")]
    /// Serve a web page on loopback that checks manifests as you type; your input stays in the browser.
    Playground(PlaygroundArgs),
    /// Print a completion script: `pratique completions bash > /etc/bash_completion.d/pratique`.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a manual page for each command.
    Man {
        /// The folder for the pages, such as /usr/local/share/man/man1
        folder: PathBuf,
    },
}

/// The result of a command that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// No problem was found.
    Success,
    /// A check failed, such as a denied object or a failed case.
    Denied,
    /// An input could not be read; the others were checked.
    Unreadable,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Denied => 1,
            ExitStatus::Unreadable => 2,
        })
    }
}

/// The policies to run, and their settings.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// A file with policies, their settings and exceptions. Default: `policies.yaml` in PATH if the command has one PATH and it is
    /// a directory, otherwise all policies with default settings (without cluster data, only those that do not need it)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Run only this policy; can be repeated
    #[arg(long = "policy", value_name = "NAME")]
    pub policies: Vec<String>,
    /// Settings of a policy, as JSON, in place of those in the file or the defaults; can be repeated
    #[arg(long = "set", value_name = "NAME={json}")]
    pub settings: Vec<String>,
}

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    #[default]
    Human,
    /// One JSON object
    Json,
}

/// The manifests, and the policies that check them.
#[derive(Clone, Debug, clap::Args)]
pub struct Manifests {
    /// Files, directories, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub selection: Selection,
    /// The namespace for objects without one
    #[arg(long, value_name = "NS", default_value = "default")]
    pub namespace: String,
}

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub manifests: Manifests,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub report: ReportArgs,
}

/// Arguments of `render`.
#[derive(Clone, Debug, clap::Args)]
pub struct RenderArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub manifests: Manifests,
    /// Print only the changes, as a unified diff
    #[arg(long)]
    pub diff: bool,
}

/// Arguments of `explain-metric`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainMetricArgs {
    /// The metric name, as an autoscaler refers to it
    #[arg(value_name = "NAME")]
    pub metric: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub manifests: Manifests,
}

/// Arguments of `connectivity`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectivityArgs {
    /// Files, directories, or `-` for standard input
    #[arg(required_unless_present = "diff", conflicts_with = "diff", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The output format of the map
    #[arg(long, short, value_enum, default_value_t)]
    pub output: MapFormat,
    /// Explain why SRC can or cannot connect to DST. Each is a workload (`shop/web`, `shop/web[Deployment]`) or an address;
    /// DST can also be a Service (`shop/api[Service]`) with PORT as its port. PORT is `8080`, `TCP/8080` or `UDP/53`
    #[arg(long, num_args = 3, value_names = ["SRC", "DST", "PORT"], conflicts_with_all = ["diff", "expected", "output"])]
    pub explain: Option<Vec<String>>,
    /// Print the connections that differ between OLD and NEW; the exit code is 0 even if they differ
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "expected")]
    pub diff: Option<Vec<PathBuf>>,
    /// Compare with the expected connections in this file; print those that are missing and those that are unexpected
    #[arg(long, alias = "intended", value_name = "FILE", conflicts_with = "output")]
    pub expected: Option<PathBuf>,
    /// Include connections between pods of the same workload
    #[arg(long)]
    pub within_workloads: bool,
    /// The namespace for objects without one
    #[arg(long, value_name = "NS", default_value = "default")]
    pub namespace: String,
}

/// The output format of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// One connection per line
    #[default]
    Text,
    /// One JSON object
    Json,
    /// CSV with the columns src,dst,conn
    Csv,
    /// Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// An SVG image
    Svg,
    /// An HTML page with the image and a table of the connections
    Html,
}

/// Arguments of `test`.
#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// Case files, or directories with case files in `<policy>/cases/`
    #[arg(default_value = "policies", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The policy for cases that name none and are not in `<policy>/cases/`
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Write the verdicts into the files; a verdict that contradicts the file name is still a failure
    #[arg(long)]
    pub bless: bool,
}

/// Arguments of `policies`.
#[derive(Clone, Debug, clap::Args)]
pub struct PoliciesArgs {
    /// The policy to describe
    #[arg(value_name = "NAME", conflicts_with_all = ["webhook_configuration", "kubewarden", "schema"])]
    pub name: Option<String>,
    /// The output format
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// Print the YAML that registers the webhook with an API server: both webhook configurations, the service account and
    /// its RBAC
    #[arg(long)]
    pub webhook_configuration: bool,
    /// Print the YAML of Kubewarden's resources for the same policies. REGISTRY is the prefix of their modules, such as
    /// `registry.example.com/policies`
    #[arg(long, value_name = "REGISTRY", conflicts_with = "webhook_configuration", value_parser = validate::registry)]
    pub kubewarden: Option<String>,
    /// Print the JSON Schema of policies.yaml
    #[arg(long, conflicts_with_all = ["webhook_configuration", "kubewarden"])]
    pub schema: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub registration: RegistrationArgs,
}

/// Options for the objects that register the policies.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "With --webhook-configuration and --kubewarden")]
pub struct RegistrationArgs {
    /// The file that lists the policies. Default: all policies with default settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The webhook's Service
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "pratique/webhook", value_parser = validate::namespaced)]
    pub service: (String, String),
    /// Call the webhook at this URL instead of through its Service: https://HOST:PORT
    #[arg(long, value_name = "URL", requires = "trust", value_parser = validate::url)]
    pub url: Option<String>,
    /// Trust the certificates in this PEM file. Without this and --self-managed, cert-manager injects the CA of the
    /// Certificate that has the same name as the Service
    #[arg(long, value_name = "FILE", group = "trust")]
    pub ca_bundle: Option<PathBuf>,
    /// The webhook manages its own certificate (`serve --tls-service`)
    #[arg(long, group = "trust")]
    pub self_managed: bool,
    /// A namespace to exempt in addition to cert-manager, kube-node-lease, kube-system and that of the Service; can be
    /// repeated
    #[arg(long = "exempt", value_name = "NS", value_parser = validate::name)]
    pub exempt: Vec<String>,
}
