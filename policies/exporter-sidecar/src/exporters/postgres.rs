//! PostgreSQL: prometheus-community/postgres_exporter (`cmd/postgres_exporter/datasource.go`, README).

use super::{COMMON, Credentials, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "quay.io/prometheuscommunity/postgres-exporter:v0.20.1",
    port: 9187,
    args: &["--web.listen-address=:{port}"],
    env: &[
        // Over the pod's own loopback.
        ("DATA_SOURCE_URI", "127.0.0.1:5432/postgres?sslmode=disable"),
        ("DATA_SOURCE_USER", "{username}"),
    ],
    credentials: Some(Credentials { variable: "DATA_SOURCE_PASS", required: true, env: &[], args: &[] }),
    username: "exporter",
    images: &["postgres", "postgresql", "postgresql-repmgr", "postgis", "timescaledb", "timescaledb-ha"],
    programs: &["postgres"],
    ..COMMON
};
