//! The arguments of `demo` and `playground`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Selection, validate};

/// Arguments of `playground`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlaygroundArgs {
    /// The address to listen on, of loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8088", value_parser = validate::loopback)]
    pub listen: SocketAddr,
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
    /// Start the whole platform of this repository's manifests instead, on loopback: the control plane, Prometheus, its operator
    /// and adapter, exporters; load it until it scales; and draw what was seen
    #[arg(long, conflicts_with_all = ["path", "config", "policies", "settings"])]
    pub platform: bool,
    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "platform.svg", requires = "platform")]
    pub picture: PathBuf,
}
