//! Prometheus exporters: the image, the port, the series and the sidecar of each.
//!
//! To add an exporter, add a row to [`EXPORTERS`] in `table.rs`, and add the cases `patch-NAME`, `patch-auto-NAME` and
//! `patch-classic-NAME` to the policy `exporter-sidecar`. The policies `prometheus-labels` (ports) and `metric-path` (series) and
//! the table in the documentation use the same rows.

mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use table::EXPORTERS;

/// The form of the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SidecarForm {
    /// An init container that keeps running. It does not prevent Jobs from completing, and it stops after the database.
    #[default]
    Native,
    /// An additional regular container.
    Classic,
}

/// An exporter. Arguments and values of variables may contain `{port}`, `{username}` and `{variable}`, which is the name of the
/// variable that gets the value of the Secret's key.
#[derive(Debug)]
pub struct Exporter {
    /// The name in annotations and settings, such as `mysqld`. It is part of the image names.
    pub name: &'static str,
    /// The server software, for the documentation.
    pub serves: &'static str,
    /// The content of the key in its Secret, for the documentation.
    pub secret: &'static str,
    /// Prefixes of its own series.
    pub series: &'static [&'static str],
    /// The image, with an exact tag.
    pub image: &'static str,
    /// The listening port.
    pub port: u32,
    /// Command-line arguments.
    pub args: &'static [&'static str],
    /// Environment variables and their values.
    pub env: &'static [(&'static str, &'static str)],
    /// How it gets credentials; `None` if it uses none.
    pub credentials: Option<Credentials>,
    /// The database user; empty if the exporter needs none.
    pub username: &'static str,
    /// The numeric user ID of the container.
    pub run_as_user: u32,
    /// A path that responds without a query to the database; if empty, the probe only connects to the port.
    pub liveness_path: &'static str,
    /// The required form, which overrides the settings.
    pub form: Option<SidecarForm>,
    /// CPU request and limit.
    pub cpu: ResourceAmount,
    /// Memory request and limit.
    pub memory: ResourceAmount,
    /// The server images, by the last segments of their paths. `php:fpm` also requires `fpm` as a part of the tag.
    pub images: &'static [&'static str],
    /// The server programs in these images.
    pub programs: &'static [&'static str],
}

/// How the exporter gets credentials if a Secret is configured.
#[derive(Debug)]
pub struct Credentials {
    /// The variable that gets the Secret's key.
    pub variable: &'static str,
    /// Whether the exporter needs credentials to work.
    pub required: bool,
    /// Additional environment variables.
    pub env: &'static [(&'static str, &'static str)],
    /// Additional command-line arguments.
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

/// Default values for the rows of the table and for exporters that settings add.
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
    // An unprivileged user. With `runAsNonRoot`, an image that sets its user only by name does not start without a numeric ID.
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
    /// The name, such as `rabbitmq`. It is part of the image names of separate exporters.
    pub name: &'static str,
    /// Its images, by the last segment of their path.
    pub images: &'static [&'static str],
    /// How to enable its metrics.
    pub how: &'static str,
    /// The default port of its metrics, if there is one.
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

/// Ports of other exporters, which no policy adds to pods: node_exporter, blackbox_exporter, jmx_exporter
/// (github.com/prometheus/prometheus/wiki/Default-port-allocations).
const FURTHER_PORTS: [u32; 3] = [9100, 9115, 9404];

/// Whether an exporter, or a server that exports metrics itself, uses that port by default.
pub fn is_exporter_port(port: i64) -> bool {
    let known = EXPORTERS.iter().map(|exporter| exporter.port);
    let known = known.chain(SELF_EXPORTING.iter().filter_map(|server| server.port)).chain(FURTHER_PORTS);
    known.into_iter().any(|known| i64::from(known) == port)
}

/// The prefixes of the series of the exporter with that image; `None` if it is not a known exporter and may export any
/// series.
pub fn series_of_image(image: &str) -> Option<&'static [&'static str]> {
    let name = image.rsplit('/').next().unwrap_or_default();
    if !name.contains("exporter") {
        return None;
    }
    let exporters = EXPORTERS.iter().map(|exporter| (exporter.name, exporter.series));
    let all = exporters.chain(SELF_EXPORTING.iter().map(|server| (server.name, server.series)));
    all.into_iter().find(|(known, _)| name.contains(known)).map(|(_, series)| series)
}

/// Whether the Prometheus client libraries export that series for every process.
pub fn is_process_series(series: &str) -> bool {
    ["go_", "process_"].iter().any(|prefix| series.starts_with(prefix))
}

/// Whether a component of the cluster exports that series: the kubelet, kube-state-metrics, node_exporter or Prometheus.
pub fn is_cluster_series(series: &str) -> bool {
    ["ALERTS", "container_", "kube_", "kubelet_", "machine_", "node_"]
        .iter()
        .any(|prefix| series.starts_with(prefix))
}

/// The table of exporters for the documentation.
pub fn table() -> String {
    let mut text = "| exporter | for | port | the Secret's key holds |\n|---|---|---|---|\n".to_owned();
    for Exporter { name, serves, port, secret, .. } in EXPORTERS {
        text.push_str(&format!("| `{name}` | {serves} | {port} | {secret} |\n"));
    }
    text
}
