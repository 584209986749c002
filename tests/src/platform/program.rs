//! The program that runs for an image. Its arguments and files are adapted because all pods share one network
//! namespace.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::tools;

/// The program that runs for an image.
pub(super) struct Program {
    pub(super) file: PathBuf,
    /// Arguments before the container's own.
    pub(super) first: Vec<String>,
    /// Arguments after the container's own, such as the pod's address to listen on.
    pub(super) last: Vec<String>,
    /// The configuration file in which addresses must be replaced.
    pub(super) rewrites: Option<&'static str>,
}

impl Program {
    /// The program of an image; `None` if the image is simulated.
    pub(super) fn of(image: &str, ip: &str) -> anyhow::Result<Option<Self>> {
        let called =
            image.rsplit('/').next().and_then(|name| name.split([':', '@']).next()).unwrap_or_default();
        let find = |name: &str| tools::find(name, tools::HOW).map_err(anyhow::Error::msg);
        let plain = |file: PathBuf| Program { file, first: Vec::new(), last: Vec::new(), rewrites: None };
        let program = match called {
            "pratique" => {
                Program { first: vec!["--as-pratique".to_owned()], ..plain(std::env::current_exe()?) }
            }
            "prometheus" => Program {
                last: vec![format!("--web.listen-address={ip}:9090")],
                ..plain(find("prometheus")?)
            },
            "prometheus-adapter" => {
                Program { last: vec![format!("--bind-address={ip}")], ..plain(find("adapter")?) }
            }
            "prometheus-operator" => plain(find("operator")?),
            "sealed-secrets-controller" => plain(find("controller")?),
            "mysqld-exporter" => plain(find("mysqld_exporter")?),
            "redis_exporter" => plain(find("redis_exporter")?),
            "nginx-prometheus-exporter" => plain(find("nginx-prometheus-exporter")?),
            "redis" => Program {
                last: ["--save", "", "--bind", ip, &loopback(ip)].map(str::to_owned).to_vec(),
                ..plain(find("redis-server")?)
            },
            "nginx-unprivileged" => Program {
                first: ["-e", "stderr", "-g", "daemon off;"].map(str::to_owned).to_vec(),
                rewrites: Some("/etc/nginx/nginx.conf"),
                ..plain(find("nginx")?)
            },
            _ => return Ok(None),
        };
        Ok(Some(program))
    }
}

/// The loopback address of a pod: an address of 127/8 that no other pod has.
pub(super) fn loopback(ip: &str) -> String {
    ip.replacen("10.", "127.", 1)
}

/// Replaces addresses in an argument as if the pod had its own network namespace: `:PORT` and `0.0.0.0:PORT` become
/// the pod's address, and `127.0.0.1` becomes the pod's loopback address.
pub(super) fn rewritten(argument: &str, ip: &str) -> String {
    let own = loopback(ip);
    let argument = argument.replace("127.0.0.1:", &format!("{own}:")).replace("0.0.0.0:", &format!("{ip}:"));
    match argument.split_once('=') {
        Some((flag, port)) if is_port(port) => format!("{flag}={ip}{port}"),
        None if is_port(&argument) => format!("{ip}{argument}"),
        _ => argument,
    }
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Mounts a copy of NGINX's configuration file with replaced addresses.
pub(super) fn rewrite(
    mounts: &mut [(String, String)],
    place: &str,
    folder: &Path,
    ip: &str,
) -> anyhow::Result<()> {
    let mounted = mounts
        .iter_mut()
        .find(|(_, mounted)| mounted == place)
        .context("the configuration file is not mounted")?;
    let text = std::fs::read_to_string(&mounted.0)?;
    let text = text.replace("listen 127.0.0.1:", &format!("listen {}:", loopback(ip)));
    let lines = text.lines().map(|line| match line.trim_start().strip_prefix("listen ") {
        Some(port) if port.starts_with(|c: char| c.is_ascii_digit()) && !port.contains(':') => {
            format!("listen {ip}:{port}")
        }
        _ => line.to_owned(),
    });
    let copy = folder.join("rewritten");
    std::fs::write(&copy, lines.collect::<Vec<_>>().join("\n"))?;
    mounted.0 = copy.display().to_string();
    Ok(())
}
