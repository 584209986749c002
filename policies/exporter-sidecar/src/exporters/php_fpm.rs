//! PHP-FPM: hipages/php-fpm_exporter (`cmd/server.go`, README, Dockerfile).

use super::{COMMON, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/hipages/php-fpm_exporter:2.2.0",
    port: 9253,
    // The image's entrypoint has the word `server` already.
    env: &[
        ("PHP_FPM_SCRAPE_URI", "tcp://127.0.0.1:9000/status"),
        ("PHP_FPM_FIX_PROCESS_COUNT", "true"),
        ("PHP_FPM_WEB_LISTEN_ADDRESS", ":{port}"),
    ],
    // Of the tags of the image `php` only those with FPM are servers.
    images: &["php:fpm", "php-fpm"],
    programs: &["php-fpm"],
    ..COMMON
};
