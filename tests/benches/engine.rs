//! Measures verdicts: decode, evaluate and encode a review of 8 KB, natively and in a guest.

#[path = "../guest/mod.rs"]
mod guest;
#[path = "input/review.rs"]
mod input;

use std::hint::black_box;

use conformance::hosts::CaseCluster;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use guest::Guest;
use policy_catalog::POLICIES;
use policy_core::{AdmissionPhase, Arena, ConfiguredPolicy, NoCluster, PolicyMetadata, Review, Value, admit};
use serde::de::IgnoredAny;

fn configured(wanted: impl Fn(&PolicyMetadata) -> bool) -> Vec<ConfiguredPolicy> {
    let configure = |entry: &policy_core::PolicyDefinition| ConfiguredPolicy {
        metadata: entry.metadata,
        policy: (entry.configure)("").expect("every policy has defaults"),
    };
    POLICIES
        .iter()
        .filter(|entry| !entry.metadata.needs_cluster() && wanted(entry.metadata))
        .map(configure)
        .collect()
}

/// The minimum cost of any decoder, our value type, and serde_json's value type.
fn decode(criterion: &mut Criterion) {
    let review = input::review();
    let bytes = review.as_bytes();
    let mut group = criterion.benchmark_group("decode 8 KB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("scan only (serde IgnoredAny)", |b| {
        b.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(bytes)).expect("the review is JSON"));
    });
    let mut arena = Arena::new();
    group.bench_function("policy_core::Value", |b| {
        b.iter(|| {
            black_box(Value::from_json(black_box(bytes), &arena).expect("the review is JSON"));
            arena.reset();
        });
    });
    group.bench_function("serde_json::Value", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(bytes)).expect("the review is JSON"));
    });
    group.finish();
}

fn admission(criterion: &mut Criterion) {
    let review = input::review();
    let policies = configured(|metadata| !metadata.mutates);
    let mut group = criterion.benchmark_group("admission 8 KB");
    let decoding = Arena::new();
    let decoded = Review::decode(review.as_bytes(), &decoding).expect("the review is valid");
    group.bench_function("evaluate", |b| {
        b.iter(|| admit(black_box(&policies), &decoded.request, &NoCluster, AdmissionPhase::Mutating))
    });
    let mut arena = Arena::new();
    group.bench_function("decode, evaluate, encode", |b| {
        b.iter(|| {
            let review = Review::decode(black_box(review.as_bytes()), &arena).expect("the review is valid");
            let verdicts = admit(&policies, &review.request, &NoCluster, AdmissionPhase::Mutating);
            assert!(verdicts.allowed(), "the pod is compliant");
            black_box(review.answer(&verdicts, AdmissionPhase::Validating));
            arena.reset();
        });
    });
    group.finish();
}

/// All policies together: they add an exporter and labels to a pod of 8 KB, validate the result, and encode the patch.
fn mutation(criterion: &mut Criterion) {
    let annotations =
        r#""pratique.dev/inject-exporter":"mysqld","pratique.dev/exporter-secret":"db/password","#;
    let review = input::review().replace(r#""annotations":{"#, &format!(r#""annotations":{{{annotations}"#));
    let policies = configured(|_| true);
    let mut group = criterion.benchmark_group("mutation 8 KB");
    let decoding = Arena::new();
    let decoded = Review::decode(review.as_bytes(), &decoding).expect("the review is valid");
    let patch = admit(&policies, &decoded.request, &NoCluster, AdmissionPhase::Mutating).patch();
    assert!(patch.len() >= 3, "an exporter, its status and labels: {patch:?}");
    let mut arena = Arena::new();
    for (name, only) in [
        ("decode, mutate with one policy, encode", Some("exporter-sidecar")),
        ("decode, mutate with all policies, encode", None),
    ] {
        let policies = configured(|metadata| only.is_none_or(|only| metadata.name == only));
        group.bench_function(name, |b| {
            b.iter(|| {
                let review =
                    Review::decode(black_box(review.as_bytes()), &arena).expect("the review is valid");
                let verdicts = admit(&policies, &review.request, &NoCluster, AdmissionPhase::Mutating);
                assert!(verdicts.allowed() && verdicts.patched.is_some(), "the pod is changed");
                black_box(review.answer(&verdicts, AdmissionPhase::Mutating));
                arena.reset();
            });
        });
    }
    group.finish();
}

/// Calls guests through waPC, with one instance for all calls, and with one per call as policy-server does.
fn guests(criterion: &mut Criterion) {
    guest::available().expect("the Rust target for guests");
    let review: serde_json::Value = serde_json::from_str(&input::review()).expect("the review is JSON");
    let payload = format!(r#"{{"request":{},"settings":{{}}}}"#, review["request"]);
    let mut group = criterion.benchmark_group("guest 8 KB");
    // Policies for complete manifest sets are not available as guests.
    for entry in POLICIES.iter().filter(|entry| !entry.metadata.for_manifest_sets()) {
        let name = entry.metadata.name;
        let guest = Guest::build(name).expect("the guest builds");
        // An empty cluster for the policies that need cluster data.
        let cluster = || Some(CaseCluster(Vec::new()));
        let instance = guest.instance(cluster()).expect("the guest starts");
        // The pod is compliant, but no policy in the empty cluster isolates it.
        let wanted = format!(r#"{{"accepted":{}"#, !entry.metadata.needs_cluster());
        let call = |instance: &wapc::WapcHost| {
            let answer = instance.call("validate", payload.as_bytes()).expect("the guest responds");
            assert!(answer.starts_with(wanted.as_bytes()), "{}", String::from_utf8_lossy(&answer));
        };
        group.bench_function(name, |b| b.iter(|| call(&instance)));
        group.bench_function(format!("{name}, a new instance per call"), |b| {
            b.iter(|| call(&guest.instance(cluster()).expect("the guest starts")));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, admission, mutation, guests);
criterion_main!(benches);
