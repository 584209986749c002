//! Real exporters, started with the containers that the policy adds to a pod, export the metrics of real servers to a real
//! Prometheus.
//!
//! All of them run in a network namespace that has only loopback and ends with the process.

mod fixture;
mod pods;

use std::process::ExitCode;
use std::sync::OnceLock;

use conformance::{ignored, namespace, tools};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

/// The required programs, and how to get them.
const NEEDED: &[(&str, &str)] = &[
    ("unshare", "install util-linux"),
    ("ip", "install iproute2"),
    ("mariadbd", "install mariadb-server"),
    ("mariadb", "install mariadb-client"),
    ("mariadb-install-db", "install mariadb-server"),
    ("redis-server", "install redis-server"),
    ("nginx", "install nginx"),
    ("prometheus", tools::HOW),
    ("mysqld_exporter", tools::HOW),
    ("redis_exporter", tools::HOW),
    ("nginx-prometheus-exporter", tools::HOW),
    ("elasticsearch_exporter", tools::HOW),
];

fn main() -> ExitCode {
    if let Some(code) = namespace::inside(|_| fixture::play()) {
        return code;
    }
    let arguments = Arguments::from_args();
    let missing = NEEDED.iter().find_map(|(name, how)| tools::find(name, how).err());
    let trials = match missing.map_or_else(namespace::arguments, Err) {
        Err(reason) => vec![ignored("exporters", &reason)],
        Ok(_) => trials(),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Vec<Trial> {
    let is = |name: &str, key: &'static str, wanted: Value| {
        Trial::test(name, move || {
            let found = seen()?.get(key).cloned().unwrap_or_default();
            if found == wanted { Ok(()) } else { Err(format!("{key} is {found}, expected {wanted}").into()) }
        })
    };
    vec![
        is("mysqld::up_with_the_grants_of_the_manifests", "mysql_up", 1.into()),
        is("mysqld::down_with_a_wrong_password", "mysql_up, wrong password", 0.into()),
        is("mysqld::latency_by_digest_is_collected", "latency by digest", 1.into()),
        is("redis::up_with_a_password", "redis_up", 1.into()),
        is("redis::down_with_a_wrong_password", "redis_up, wrong password", 0.into()),
        is("nginx::up", "nginx_up", 1.into()),
        is("elasticsearch::starts_and_answers", "elasticsearch /metrics", 200.into()),
        is("every_liveness_path_answers_without_a_database", "liveness", vec![200; 4].into()),
        is("prometheus_scrapes_every_port", "targets up", 4.into()),
    ]
}

/// The results by name. All trials share one run.
fn seen() -> Result<&'static Value, Failed> {
    static SEEN: OnceLock<Result<Value, String>> = OnceLock::new();
    SEEN.get_or_init(|| namespace::run(&[]).map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(Failed::from)
}
