//! Tests of the webhook process: startup, load, shutdown, and misbehaving clients.

#[path = "../stores/api.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod api;
mod certificates;
mod cluster;
mod lifecycle;
mod reload;
mod stress;
mod telemetry;

use std::process::ExitCode;

use conformance::{process, trials};
use libtest_mimic::Failed;
use serde_json::json;

fn main() -> ExitCode {
    process::main(|| {
        trials![
            lifecycle::in_flight_requests_finish_on_shutdown,
            lifecycle::partially_received_reviews_are_answered,
            lifecycle::readiness_fails_before_shutdown,
            certificates::certificates_are_read_from_files,
            certificates::a_wrong_key_prevents_startup,
            certificates::certificates_are_replaced_under_load,
            certificates::half_a_certificate_is_not_served,
            certificates::an_expired_certificate_is_not_ready,
            certificates::callers_show_a_certificate,
            reload::policies_are_those_of_the_file,
            reload::a_hanging_file_blocks_nothing,
            reload::new_policies_run_only_once_their_kinds_are_watched,
            telemetry::denials_are_logged_without_the_object,
            telemetry::an_unread_log_blocks_no_request,
            telemetry::traces_reach_a_collector,
            stress::half_open_connections_block_no_other_client,
            stress::a_flood_is_refused_before_memory_grows,
            stress::an_overload_is_survived,
            stress::http_2_is_negotiated,
            cluster::policies_that_need_cluster_data_deny_without_it,
            cluster::a_cluster_is_watched_over_tls,
            cluster::an_invalid_kubeconfig_prevents_startup,
            telemetry::excepted_denials_are_counted_once,
            telemetry::metrics_are_counted_and_served,
        ]
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn review() -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {"spec": {"hostNetwork": true, "containers": [{"name": "web"}]}}}})
    .to_string()
}
