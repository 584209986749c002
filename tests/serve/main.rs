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

use conformance::process;
use libtest_mimic::{Failed, Trial};
use serde_json::json;

fn main() -> ExitCode {
    let trial = |name: &str, run: fn() -> Result<(), Failed>| Trial::test(name, run);
    process::main(|| {
        vec![
            trial(
                "requests_in_flight_are_answered_on_sigterm",
                lifecycle::requests_in_flight_are_answered_on_sigterm,
            ),
            trial("what_has_begun_is_answered", lifecycle::what_has_begun_is_answered),
            trial("readiness_flips_before_the_end", lifecycle::readiness_flips_before_the_end),
            trial("certificates_are_read_from_files", certificates::certificates_are_read_from_files),
            trial("a_wrong_key_stops_the_start", certificates::a_wrong_key_stops_the_start),
            trial("certificates_are_replaced_under_load", certificates::certificates_are_replaced_under_load),
            trial("half_a_certificate_is_not_served", certificates::half_a_certificate_is_not_served),
            trial("an_expired_certificate_is_not_ready", certificates::an_expired_certificate_is_not_ready),
            trial("callers_show_a_certificate", certificates::callers_show_a_certificate),
            trial("policies_are_those_of_the_file", reload::policies_are_those_of_the_file),
            trial("a_file_that_hangs_stops_nothing", reload::a_file_that_hangs_stops_nothing),
            trial(
                "what_new_policies_look_at_is_known_before_they_are_asked",
                reload::new_policies_run_only_once_their_kinds_are_watched,
            ),
            trial("denials_are_logged_without_the_object", telemetry::denials_are_logged_without_the_object),
            trial("a_log_that_nobody_reads_holds_nobody_up", telemetry::an_unread_log_blocks_no_request),
            trial("traces_reach_a_collector", telemetry::traces_reach_a_collector),
            trial("fresh_connections_do_not_stall", stress::fresh_connections_do_not_stall),
            trial(
                "half_open_connections_hold_nobody_up",
                stress::half_open_connections_block_no_other_client,
            ),
            trial("a_flood_is_refused_before_memory_grows", stress::a_flood_is_refused_before_memory_grows),
            trial("ten_times_the_load_is_survived", stress::ten_times_the_load_is_survived),
            trial("http_2_is_negotiated", stress::http_2_is_negotiated),
            trial(
                "without_a_cluster_what_needs_one_is_denied",
                cluster::without_a_cluster_what_needs_one_is_denied,
            ),
            trial("a_cluster_is_watched_over_tls", cluster::a_cluster_is_watched_over_tls),
            trial(
                "a_kubeconfig_that_is_none_stops_the_start",
                cluster::a_kubeconfig_that_is_none_stops_the_start,
            ),
            trial("what_is_excepted_is_counted_once", telemetry::what_is_excepted_is_counted_once),
            trial("metrics_are_counted_and_served", telemetry::metrics_are_counted_and_served),
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
