//! The arguments of `demo` and `playground`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Selection, validate};

/// Arguments of `playground`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlaygroundArgs {
    /// The loopback address to listen on; port 0 picks a free port
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
    #[expect(missing_docs, reason = "clap would use a doc comment here as help text")]
    pub selection: Selection,
    /// Instead, start the whole platform of this repository's manifests on loopback (control plane, Prometheus with its
    /// operator and adapter, exporters), generate load until it scales, and draw the measurements
    #[arg(long, conflicts_with_all = ["path", "config", "policies", "settings"])]
    pub platform: bool,
    /// The file to write the drawing to
    #[arg(long, value_name = "FILE", default_value = "platform.svg", requires = "platform")]
    pub picture: PathBuf,
}
