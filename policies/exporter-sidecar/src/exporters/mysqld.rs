//! MySQL, MariaDB, Percona Server: prometheus/mysqld_exporter (`mysqld_exporter.go`, README).

use super::{COMMON, Credentials, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/prom/mysqld-exporter:v0.19.0",
    port: 9104,
    args: &[
        "--mysqld.address=127.0.0.1:3306",
        "--mysqld.username={username}",
        "--web.listen-address=:{port}",
        // The latency of queries by digest, which is off by default.
        "--collect.perf_schema.eventsstatements",
    ],
    credentials: Some(Credentials {
        variable: "MYSQLD_EXPORTER_PASSWORD",
        required: true,
        env: &[],
        args: &[],
    }),
    username: "exporter",
    images: &[
        "mysql",
        "mysql-server",
        "mysql/community-server",
        "mariadb",
        "percona",
        "percona-server",
        "percona-xtradb-cluster",
    ],
    programs: &["mysqld", "mysqld_safe", "mariadbd", "mariadbd-safe"],
    ..COMMON
};
