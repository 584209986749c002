//! Memcached: prometheus/memcached_exporter (`cmd/memcached_exporter/main.go`, README).

use super::{COMMON, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "quay.io/prometheus/memcached-exporter:v0.16.0",
    port: 9150,
    args: &["--memcached.address=127.0.0.1:11211", "--web.listen-address=:{port}"],
    images: &["memcached"],
    programs: &["memcached"],
    ..COMMON
};
