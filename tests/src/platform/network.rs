//! The network that all of it runs in: loopback alone, with the addresses of nodes, pods and Services on it.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::run;
use crate::tools;

/// The addresses of pods, of Services, and of nodes in production and staging.
pub const PODS: &str = "10.244.0.0/16";
/// As [`PODS`].
pub const SERVICES: &str = "10.96.0.0/16";
/// The block that NetworkPolicies name for the API server is its first part.
const NODES: [&str; 2] = ["10.20.0.0/20", "10.10.0.0/20"];
/// Where the API server listens: an address of those that NetworkPolicies name.
pub const API_SERVER: &str = "10.20.0.1";

/// Puts the addresses on loopback, and memory where components write to.
///
/// # Errors
/// It cannot be done here.
pub fn prepare() -> anyhow::Result<()> {
    let ip = tools::find("ip", "install iproute2").map_err(anyhow::Error::msg)?;
    for block in [PODS, SERVICES].iter().chain(&NODES) {
        run(Command::new(&ip).args(["route", "replace", "local", block, "dev", "lo"]))?;
    }
    // In this mount namespace alone: what is written there is gone with it.
    run(Command::new("mount").args(["-t", "tmpfs", "pratique", "/run"]))?;
    std::fs::create_dir_all("/run/lock")?;
    is_closed()
}

/// Whether no packet can leave: there is no interface but loopback, and no way to any other address.
///
/// # Errors
/// There is one; which.
pub fn is_closed() -> anyhow::Result<()> {
    let interfaces = std::fs::read_to_string("/proc/net/dev")?;
    let names: Vec<&str> =
        interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    ensure!(names == ["lo"], "there are interfaces beside loopback: {names:?}");
    let refused =
        std::net::TcpStream::connect_timeout(&"192.0.2.1:80".parse()?, std::time::Duration::from_secs(1));
    let reason = refused.err().context("an address outside of the namespace answers")?;
    ensure!(reason.kind() == std::io::ErrorKind::NetworkUnreachable, "dialling outside says: {reason}");
    Ok(())
}
