//! Does the webhook process behave: at start, under load, at the end, and towards those who do it harm?

#[path = "../stores/api.rs"]
#[expect(dead_code, reason = "another test asks more of it")]
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
            lifecycle::requests_in_flight_are_answered_on_sigterm,
            lifecycle::what_has_begun_is_answered,
            lifecycle::readiness_flips_before_the_end,
            certificates::certificates_are_read_from_files,
            certificates::a_wrong_key_stops_the_start,
            certificates::certificates_are_replaced_under_load,
            certificates::half_a_certificate_is_not_served,
            certificates::an_expired_certificate_is_not_ready,
            certificates::callers_show_a_certificate,
            reload::policies_are_those_of_the_file,
            reload::a_file_that_hangs_stops_nothing,
            reload::new_policies_run_only_once_their_kinds_are_watched,
            telemetry::denials_are_logged_without_the_object,
            telemetry::an_unread_log_blocks_no_request,
            telemetry::traces_reach_a_collector,
            stress::fresh_connections_do_not_stall,
            stress::half_open_connections_block_no_other_client,
            stress::a_flood_is_refused_before_memory_grows,
            stress::ten_times_the_load_is_survived,
            stress::http_2_is_negotiated,
            cluster::without_a_cluster_what_needs_one_is_denied,
            cluster::a_cluster_is_watched_over_tls,
            cluster::a_kubeconfig_that_is_none_stops_the_start,
            telemetry::what_is_excepted_is_counted_once,
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
