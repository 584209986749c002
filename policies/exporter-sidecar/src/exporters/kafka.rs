//! Kafka: danielqsj/kafka_exporter (`kafka_exporter.go`, README; issue 293). It ends while no broker answers, and is started
//! again.

use super::{COMMON, Credentials, Exporter, Form};

pub(super) const EXPORTER: Exporter = Exporter {
    image: "docker.io/danielqsj/kafka-exporter:v1.9.0",
    port: 9308,
    args: &["--kafka.server=127.0.0.1:9092", "--web.listen-address=:{port}"],
    // Version 1.9.0 reads no variable; the kubelet fills in the argument, so that no manifest has the password.
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
    // A native sidecar would have to be seen running before the broker is started that it needs.
    form: Some(Form::Classic),
    images: &["kafka", "cp-kafka", "kafka-native", "cp-server"],
    programs: &["kafka-server-start.sh", "kafka-server-start"],
    ..COMMON
};
