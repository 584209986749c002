//! The table of built-in exporters.

use super::{COMMON, Credentials, Exporter, SidecarForm};

/// The built-in exporters, sorted by name. The comment of each row names the source of its values.
pub const EXPORTERS: &[Exporter] = &[
    // Elasticsearch, OpenSearch: prometheus-community/elasticsearch_exporter (`main.go`, README).
    Exporter {
        name: "elasticsearch",
        serves: "Elasticsearch, OpenSearch",
        secret: "the password, if security is enabled",
        series: &["elasticsearch_"],
        image: "quay.io/prometheuscommunity/elasticsearch-exporter:v1.11.0",
        port: 9114,
        args: &[
            "--es.uri=http://127.0.0.1:9200",
            // Only the Elasticsearch node in this pod: with --es.all, every pod would export all nodes.
            "--es.indices",
            "--web.listen-address=:{port}",
        ],
        credentials: Some(Credentials {
            variable: "ES_PASSWORD",
            required: false,
            env: &[("ES_USERNAME", "{username}")],
            args: &[],
        }),
        username: "exporter",
        liveness_path: "/healthz",
        images: &["elasticsearch", "opensearch"],
        programs: &["elasticsearch", "opensearch", "eswrapper"],
        ..COMMON
    },
    // Kafka: danielqsj/kafka_exporter (`kafka_exporter.go`, README; issue 293). It exits while no broker responds, and is then
    // restarted.
    Exporter {
        name: "kafka",
        serves: "Kafka; always classic, because it exits while no broker responds",
        secret: "the SASL password, if SASL is enabled",
        series: &["kafka_"],
        image: "docker.io/danielqsj/kafka-exporter:v1.9.0",
        port: 9308,
        args: &["--kafka.server=127.0.0.1:9092", "--web.listen-address=:{port}"],
        // Version 1.9.0 does not read variables. The kubelet expands the argument, so the manifest does not contain the password.
        credentials: Some(Credentials {
            variable: "SASL_PASSWORD",
            required: false,
            env: &[],
            args: &[
                "--sasl.enabled",
                "--sasl.mechanism=plain",
                "--sasl.username={username}",
                "--sasl.password=$({variable})",
            ],
        }),
        username: "exporter",
        // A native sidecar must be running before the broker starts, but this exporter needs the broker to run.
        form: Some(SidecarForm::Classic),
        images: &["kafka", "cp-kafka", "kafka-native", "cp-server"],
        programs: &["kafka-server-start.sh", "kafka-server-start"],
        ..COMMON
    },
    // Memcached: prometheus/memcached_exporter (`cmd/memcached_exporter/main.go`, README).
    Exporter {
        name: "memcached",
        serves: "Memcached",
        secret: "nothing",
        series: &["memcached_"],
        image: "quay.io/prometheus/memcached-exporter:v0.16.0",
        port: 9150,
        args: &["--memcached.address=127.0.0.1:11211", "--web.listen-address=:{port}"],
        images: &["memcached"],
        programs: &["memcached"],
        ..COMMON
    },
    // MongoDB: percona/mongodb_exporter (`main.go`, README, Dockerfile).
    Exporter {
        name: "mongodb",
        serves: "MongoDB",
        secret: "the URI, with user and password",
        series: &["mongodb_"],
        image: "docker.io/percona/mongodb_exporter:0.53.0",
        port: 9216,
        args: &[
            "--web.listen-address=:{port}",
            "--collector.diagnosticdata",
            "--collector.replicasetstatus",
            "--collector.dbstats",
            // Metric names that dashboards use.
            "--compatible-mode",
        ],
        credentials: Some(Credentials { variable: "MONGODB_URI", required: true, env: &[], args: &[] }),
        // The user of the image.
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
    },
    // MySQL, MariaDB, Percona Server: prometheus/mysqld_exporter (`mysqld_exporter.go`, README).
    Exporter {
        name: "mysqld",
        serves: "MySQL, MariaDB, Percona Server",
        secret: "the password",
        series: &["mysql_"],
        image: "docker.io/prom/mysqld-exporter:v0.19.0",
        port: 9104,
        args: &[
            "--mysqld.address=127.0.0.1:3306",
            "--mysqld.username={username}",
            "--web.listen-address=:{port}",
            // Query latency by digest, which is disabled by default.
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
    },
    // NATS: nats-io/prometheus-nats-exporter (`main.go`, `exporter/exporter.go`, README).
    Exporter {
        name: "nats",
        serves: "NATS with its monitoring port",
        secret: "nothing",
        series: &["gnatsd_", "jetstream_", "nats_"],
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
            // The monitoring port of the server. It must be last because it is not a flag.
            "http://127.0.0.1:8222",
        ],
        // Every path queries NATS, so the probe only connects to the port.
        liveness_path: "",
        images: &["nats", "nats-server"],
        programs: &["nats-server"],
        ..COMMON
    },
    // NGINX: nginx/nginx-prometheus-exporter (`exporter.go`, README, Dockerfile).
    Exporter {
        name: "nginx",
        serves: "NGINX with `stub_status` at `127.0.0.1:8080`",
        secret: "nothing",
        series: &["nginx_"],
        image: "docker.io/nginx/nginx-prometheus-exporter:1.5.1",
        port: 9113,
        args: &[
            // The configuration of NGINX must enable `stub_status` at this address.
            "--nginx.scrape-uri=http://127.0.0.1:8080/stub_status",
            "--web.listen-address=:{port}",
        ],
        // The user of the image.
        run_as_user: 1001,
        images: &["nginx", "nginx-unprivileged"],
        programs: &["nginx", "nginx-debug"],
        ..COMMON
    },
    // PHP-FPM: hipages/php-fpm_exporter (`cmd/server.go`, README, Dockerfile).
    Exporter {
        name: "php-fpm",
        serves: "PHP-FPM with `pm.status_path = /status`",
        secret: "nothing",
        series: &["phpfpm_"],
        image: "docker.io/hipages/php-fpm_exporter:2.2.0",
        port: 9253,
        // The entrypoint of the image already contains `server`.
        env: &[
            ("PHP_FPM_SCRAPE_URI", "tcp://127.0.0.1:9000/status"),
            ("PHP_FPM_FIX_PROCESS_COUNT", "true"),
            ("PHP_FPM_WEB_LISTEN_ADDRESS", ":{port}"),
        ],
        // Only tags of the image `php` with FPM are servers.
        images: &["php:fpm", "php-fpm"],
        programs: &["php-fpm"],
        ..COMMON
    },
    // PostgreSQL: prometheus-community/postgres_exporter (`cmd/postgres_exporter/datasource.go`, README).
    Exporter {
        name: "postgres",
        serves: "PostgreSQL",
        secret: "the password",
        series: &["pg_"],
        image: "quay.io/prometheuscommunity/postgres-exporter:v0.20.1",
        port: 9187,
        args: &["--web.listen-address=:{port}"],
        env: &[
            // Over the loopback interface of the pod.
            ("DATA_SOURCE_URI", "127.0.0.1:5432/postgres?sslmode=disable"),
            ("DATA_SOURCE_USER", "{username}"),
        ],
        credentials: Some(Credentials { variable: "DATA_SOURCE_PASS", required: true, env: &[], args: &[] }),
        username: "exporter",
        images: &["postgres", "postgresql", "postgresql-repmgr", "postgis", "timescaledb", "timescaledb-ha"],
        programs: &["postgres"],
        ..COMMON
    },
    // Redis, Valkey and compatible servers: oliver006/redis_exporter (`main.go`, README, Dockerfile).
    Exporter {
        name: "redis",
        serves: "Redis, Valkey",
        secret: "the password, if one is set",
        series: &["redis_"],
        image: "docker.io/oliver006/redis_exporter:v1.88.0",
        port: 9121,
        env: &[("REDIS_ADDR", "redis://127.0.0.1:6379"), ("REDIS_EXPORTER_WEB_LISTEN_ADDRESS", ":{port}")],
        // The password of the default user. With an access control list, set REDIS_USER in the settings.
        credentials: Some(Credentials { variable: "REDIS_PASSWORD", required: false, env: &[], args: &[] }),
        // The user of the image.
        run_as_user: 59000,
        images: &["redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly"],
        programs: &["redis-server", "valkey-server", "keydb-server", "dragonfly"],
        ..COMMON
    },
];
