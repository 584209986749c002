//! The exporters that are built in, one file each, with the source of what it says.
//!
//! To add one: its file, its line in `BUILT_IN`, its line in the table of the page (`lib.rs`), the cases `patch-NAME`,
//! `patch-auto-NAME` and `patch-classic-NAME`, and its port in `prometheus-labels` (`ports.rs`). Tests ask for all of them.

mod elasticsearch;
mod kafka;
mod memcached;
mod mongodb;
mod mysqld;
mod nats;
mod nginx;
mod php_fpm;
mod postgres;
mod redis;

use crate::exporter::{Amount, Credentials, Exporter};
use crate::settings::Form;

/// All of them, by name.
pub(crate) const BUILT_IN: &[(&str, &Exporter)] = &[
    ("elasticsearch", &elasticsearch::EXPORTER),
    ("kafka", &kafka::EXPORTER),
    ("memcached", &memcached::EXPORTER),
    ("mongodb", &mongodb::EXPORTER),
    ("mysqld", &mysqld::EXPORTER),
    ("nats", &nats::EXPORTER),
    ("nginx", &nginx::EXPORTER),
    ("php-fpm", &php_fpm::EXPORTER),
    ("postgres", &postgres::EXPORTER),
    ("redis", &redis::EXPORTER),
];

/// Servers that need none: their name, their images, and where their own metrics are.
pub(crate) const METRICS_BUILT_IN: &[(&str, &[&str], &str)] = &[
    // rabbitmq.com/docs/prometheus: the plugin rabbitmq_prometheus, since 3.8.
    ("rabbitmq", &["rabbitmq"], "enable the plugin rabbitmq_prometheus and scrape port 15692"),
    // docs.haproxy.org, `http-request use-service`: the service prometheus-exporter, since 2.0.
    (
        "haproxy",
        &["haproxy", "haproxy-alpine"],
        "add `http-request use-service prometheus-exporter` to a frontend of its configuration",
    ),
];

/// What exporters have in common, and what one is that settings add.
pub(crate) const COMMON: Exporter = Exporter {
    image: "",
    port: 0,
    args: &[],
    env: &[],
    credentials: None,
    username: "",
    // `nobody`: images that name it by that word alone do not start under `runAsNonRoot`.
    run_as_user: 65534,
    liveness_path: "/",
    form: None,
    cpu: Amount { request: "10m", limit: "200m" },
    memory: Amount { request: "32Mi", limit: "128Mi" },
    images: &[],
    programs: &[],
};
