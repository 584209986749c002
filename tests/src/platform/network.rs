//! The network of the platform: only loopback, with the addresses of nodes, pods and Services on it.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::run;
use crate::tools;

/// The addresses of pods.
pub const PODS: &str = "10.244.0.0/16";
/// The addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The addresses of nodes in production and staging. The start of each block is what NetworkPolicies allow as the API server.
const NODES: [&str; 2] = ["10.20.0.0/20", "10.10.0.0/20"];
/// The address of the API server. It is in the block that NetworkPolicies allow.
pub const API_SERVER: &str = "10.20.0.1";

/// Adds the addresses to loopback, and mounts an in-memory file system for the files of components.
///
/// # Errors
/// A command fails because this machine does not allow it.
pub fn prepare() -> anyhow::Result<()> {
    let ip = tools::find("ip", "install iproute2").map_err(anyhow::Error::msg)?;
    for block in [PODS, SERVICES].iter().chain(&NODES) {
        run(Command::new(&ip).args(["route", "replace", "local", block, "dev", "lo"]))?;
    }
    // Only in this mount namespace, so the files are gone when it ends.
    run(Command::new("mount").args(["-t", "tmpfs", "pratique", "/run"]))?;
    std::fs::create_dir_all("/run/lock")?;
    is_closed()
}

/// Checks that no packet can leave: the only interface is loopback, and no other address has a route.
///
/// # Errors
/// There is another interface or a route.
pub fn is_closed() -> anyhow::Result<()> {
    let interfaces = std::fs::read_to_string("/proc/net/dev")?;
    let names: Vec<&str> =
        interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    ensure!(names == ["lo"], "there are interfaces other than loopback: {names:?}");
    let refused =
        std::net::TcpStream::connect_timeout(&"192.0.2.1:80".parse()?, std::time::Duration::from_secs(1));
    let reason = refused.err().context("an address outside the namespace is reachable")?;
    ensure!(
        reason.kind() == std::io::ErrorKind::NetworkUnreachable,
        "connecting outside the namespace: {reason}"
    );
    Ok(())
}
