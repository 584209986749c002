//! Elasticsearch, OpenSearch: prometheus-community/elasticsearch_exporter (`main.go`, README).

use super::{COMMON, Credentials, Exporter};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "quay.io/prometheuscommunity/elasticsearch-exporter:v1.11.0",
    port: 9114,
    args: &[
        "--es.uri=http://127.0.0.1:9200",
        // This pod's node alone: with --es.all each pod would export them all.
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
};
