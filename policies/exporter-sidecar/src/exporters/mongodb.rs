//! MongoDB: percona/mongodb_exporter (`main.go`, README, Dockerfile).

use super::{COMMON, Credentials, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/percona/mongodb_exporter:0.53.0",
    port: 9216,
    args: &[
        "--web.listen-address=:{port}",
        "--collector.diagnosticdata",
        "--collector.replicasetstatus",
        "--collector.dbstats",
        // The names that dashboards know.
        "--compatible-mode",
    ],
    credentials: Some(Credentials { variable: "MONGODB_URI", required: true, env: &[], args: &[] }),
    // The image's own.
    run_as_user: 65535,
    images: &[
        "mongo",
        "mongodb",
        "mongodb-community-server",
        "mongodb-enterprise-server",
        "percona-server-mongodb",
    ],
    programs: &["mongod", "mongos"],
    ..COMMON
};
