//! Redis, Valkey and their like: oliver006/redis_exporter (`main.go`, README, Dockerfile).

use super::{COMMON, Credentials, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/oliver006/redis_exporter:v1.88.0",
    port: 9121,
    env: &[("REDIS_ADDR", "redis://127.0.0.1:6379"), ("REDIS_EXPORTER_WEB_LISTEN_ADDRESS", ":{port}")],
    // With the default user's password; with an access control list settings add REDIS_USER.
    credentials: Some(Credentials { variable: "REDIS_PASSWORD", required: false, env: &[], args: &[] }),
    // The image's own.
    run_as_user: 59000,
    images: &["redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly"],
    programs: &["redis-server", "valkey-server", "keydb-server", "dragonfly"],
    ..COMMON
};
