//! NGINX: nginx/nginx-prometheus-exporter (`exporter.go`, README, Dockerfile).

use super::{COMMON, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/nginx/nginx-prometheus-exporter:1.5.1",
    port: 9113,
    args: &[
        // What NGINX serves there is its own configuration's to say (`stub_status`).
        "--nginx.scrape-uri=http://127.0.0.1:8080/stub_status",
        "--web.listen-address=:{port}",
    ],
    // The image's own.
    run_as_user: 1001,
    images: &["nginx", "nginx-unprivileged"],
    programs: &["nginx", "nginx-debug"],
    ..COMMON
};
