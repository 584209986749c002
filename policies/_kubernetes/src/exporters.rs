//! Prometheus exporters: the image, the port, the series and the sidecar of each.
//!
//! To add an exporter, add a row to [`EXPORTERS`] in `table.rs` and the cases `patch-NAME`, `patch-auto-NAME` and `patch-classic-NAME` of the
//! policy `exporter-sidecar`. The ports that `prometheus-labels` knows, the series that `metric-path` expects and the table in the
//! documentation come from here.

mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use table::EXPORTERS;

/// The form of the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SidecarForm {
    /// An init container that keeps running: Jobs end in spite of it, and it is stopped after the database.
    #[default]
    Native,
    /// One more container beside the others.
    Classic,
}

/// An exporter. In arguments and in values of variables, `{port}`, `{username}` and `{variable}` are filled in; the last is the
/// variable that gets the Secret's key.
#[derive(Debug)]
pub struct Exporter {
    /// The name, as annotations and settings have it: `mysqld`. Names of its images contain it.
    pub name: &'static str,
    /// What it is for, as the documentation says it.
    pub serves: &'static str,
    /// What the key of its Secret holds, as the documentation says it.
    pub secret: &'static str,
    /// Prefixes of its own series.
    pub series: &'static [&'static str],
    /// The image, with an exact tag.
    pub image: &'static str,
    /// The port that it listens on.
    pub port: u32,
    /// Arguments.
    pub args: &'static [&'static str],
    /// Variables and their values.
    pub env: &'static [(&'static str, &'static str)],
    /// How it gets credentials; `None` if it takes none.
    pub credentials: Option<Credentials>,
    /// The database's user; empty if there is none to name.
    pub username: &'static str,
    /// The numeric user that the container runs as.
    pub run_as_user: u32,
    /// A path that answers without asking the database; if empty, the port alone is probed.
    pub liveness_path: &'static str,
    /// The form that it must have, whatever the settings say.
    pub form: Option<SidecarForm>,
    /// Request and limit of cpu.
    pub cpu: ResourceAmount,
    /// Request and limit of memory.
    pub memory: ResourceAmount,
    /// The server images it is for: the last segments of their path, `php:fpm` with a word of the tag.
    pub images: &'static [&'static str],
    /// The programs that these images run as servers.
    pub programs: &'static [&'static str],
}

/// How credentials arrive if a Secret is named.
#[derive(Debug)]
pub struct Credentials {
    /// The variable that gets the Secret's key.
    pub variable: &'static str,
    /// Whether the exporter cannot work without.
    pub required: bool,
    /// Further variables.
    pub env: &'static [(&'static str, &'static str)],
    /// Further arguments.
    pub args: &'static [&'static str],
}

/// A request and a limit, as Kubernetes writes quantities.
#[derive(Debug)]
pub struct ResourceAmount {
    /// The request.
    pub request: &'static str,
    /// The limit.
    pub limit: &'static str,
}

/// What exporters have in common, and the base of those that settings add.
pub const COMMON: Exporter = Exporter {
    name: "",
    serves: "",
    secret: "",
    series: &[],
    image: "",
    port: 0,
    args: &[],
    env: &[],
    credentials: None,
    username: "",
    // `nobody`: an image that names it by that word alone does not start under `runAsNonRoot`.
    run_as_user: 65534,
    liveness_path: "/",
    form: None,
    cpu: ResourceAmount { request: "10m", limit: "200m" },
    memory: ResourceAmount { request: "32Mi", limit: "128Mi" },
    images: &[],
    programs: &[],
};

/// A server that exports metrics itself.
#[derive(Debug)]
pub struct SelfExporting {
    /// The name: `rabbitmq`. Names of separate exporters for it contain it.
    pub name: &'static str,
    /// Its images, by the last segment of their path.
    pub images: &'static [&'static str],
    /// How to turn its metrics on.
    pub how: &'static str,
    /// The port of its metrics, if it is always the same.
    pub port: Option<u32>,
    /// Prefixes of its series.
    pub series: &'static [&'static str],
}

/// Servers that need no exporter.
pub const SELF_EXPORTING: &[SelfExporting] = &[
    // rabbitmq.com/docs/prometheus: the plugin rabbitmq_prometheus, since 3.8.
    SelfExporting {
        name: "rabbitmq",
        images: &["rabbitmq"],
        how: "enable the plugin rabbitmq_prometheus and scrape port 15692",
        port: Some(15692),
        series: &["rabbitmq_"],
    },
    // docs.haproxy.org, `http-request use-service`: the service prometheus-exporter, since 2.0.
    SelfExporting {
        name: "haproxy",
        images: &["haproxy", "haproxy-alpine"],
        how: "add `http-request use-service prometheus-exporter` to a frontend of its configuration",
        port: None,
        series: &["haproxy_"],
    },
];

/// Ports of further exporters, which no policy adds: node_exporter, blackbox_exporter, jmx_exporter
/// (github.com/prometheus/prometheus/wiki/Default-port-allocations).
const FURTHER_PORTS: [u32; 3] = [9100, 9115, 9404];

/// Whether an exporter, or a server that exports metrics itself, listens on that port by default.
pub fn is_exporter_port(port: i64) -> bool {
    let known = EXPORTERS.iter().map(|exporter| exporter.port);
    let known = known.chain(SELF_EXPORTING.iter().filter_map(|server| server.port)).chain(FURTHER_PORTS);
    known.into_iter().any(|known| i64::from(known) == port)
}

/// The prefixes of the series of the exporter with that image; `None` if it is not a known exporter, so that it may export
/// anything.
pub fn series_of_image(image: &str) -> Option<&'static [&'static str]> {
    let name = image.rsplit('/').next().unwrap_or_default();
    if !name.contains("exporter") {
        return None;
    }
    let exporters = EXPORTERS.iter().map(|exporter| (exporter.name, exporter.series));
    let all = exporters.chain(SELF_EXPORTING.iter().map(|server| (server.name, server.series)));
    all.into_iter().find(|(known, _)| name.contains(known)).map(|(_, series)| series)
}

/// Whether every process that Prometheus' client libraries instrument exports that series.
pub fn is_process_series(series: &str) -> bool {
    ["go_", "process_"].iter().any(|prefix| series.starts_with(prefix))
}

/// Whether a component of the cluster itself exports that series: a kubelet, kube-state-metrics, node_exporter, Prometheus.
pub fn is_cluster_series(series: &str) -> bool {
    ["ALERTS", "container_", "kube_", "kubelet_", "machine_", "node_"]
        .iter()
        .any(|prefix| series.starts_with(prefix))
}

/// The table of exporters, as the documentation shows it.
pub fn table() -> String {
    let mut text = "| exporter | for | port | the Secret's key holds |\n|---|---|---|---|\n".to_owned();
    for Exporter { name, serves, port, secret, .. } in EXPORTERS {
        text.push_str(&format!("| `{name}` | {serves} | {port} | {secret} |\n"));
    }
    text
}
