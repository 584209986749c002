//! NATS: nats-io/prometheus-nats-exporter (`main.go`, `exporter/exporter.go`, README).

use super::{COMMON, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/natsio/prometheus-nats-exporter:0.20.2",
    port: 7777,
    args: &[
        "-addr=0.0.0.0",
        "-port={port}",
        "-varz",
        "-connz",
        "-routez",
        "-subz",
        "-jsz=all",
        // The server's monitoring port: last, for it is no flag.
        "http://127.0.0.1:8222",
    ],
    // It has no page that does not ask NATS: the port has to do.
    liveness_path: "",
    images: &["nats", "nats-server"],
    programs: &["nats-server"],
    ..COMMON
};
