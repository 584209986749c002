//! Measures verdicts that depend on cluster data, with 5,000 namespaces, 20,000 NetworkPolicies and 10,000 pods in
//! the webhook's stores, and the memory of these stores.

use std::hint::black_box;
use std::time::{Duration, Instant};

use conformance::measure::{memory, mib};
use policy_core::{AdmissionPhase, Arena, ConfiguredPolicy, Review, admit};
use serde_json::{Value, json};
use webhook_server::server::cluster::WatchedCluster;

const NAMESPACES: usize = 5_000;
const POLICIES: usize = 20_000;
const PODS: usize = 10_000;
const ROUNDS: usize = 100_000;

fn main() {
    let entry = policy_catalog::find("network-policy-required").expect("the policy exists");
    let before = resident();
    let cluster = WatchedCluster::with_objects(entry.metadata.reads.iter().copied(), objects())
        .expect("the objects have names");
    let kept: usize = cluster.known().iter().map(|known| known.bytes).sum();
    println!(
        "cluster: {NAMESPACES} namespaces, {POLICIES} NetworkPolicies, {PODS} pods: {:.1} MB of JSON kept, {:.0} MB resident\n",
        kept as f64 / 1e6,
        mib(resident().saturating_sub(before))
    );
    let policies =
        [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)("").expect("defaults") }];
    let created: Vec<String> = (0..1000).map(|i| review("CREATE", i * 37 % NAMESPACES)).collect();
    let deleted: Vec<String> = (0..1000).map(|i| review("DELETE", i * 41 % NAMESPACES)).collect();
    let others = measure(&created, |review, arena| {
        let value: Value = serde_json::from_slice(review.as_bytes()).expect("the review is JSON");
        black_box((value, arena));
    });
    println!(
        "{:52} p50 {:6.1} µs  p99 {:6.1} µs",
        "only parse the review into serde_json::Value",
        us(others.0),
        us(others.1)
    );
    for (what, reviews, allowed) in
        [("verdict on a new pod", &created, true), ("verdict on a deleted NetworkPolicy", &deleted, false)]
    {
        let took = measure(reviews, |review, arena| {
            let review = Review::decode(review.as_bytes(), arena).expect("the review is valid");
            let verdicts = admit(&policies, &review.request, &cluster, AdmissionPhase::Validating);
            assert_eq!(verdicts.allowed(), allowed, "{}", verdicts.message());
            black_box(review.answer(&verdicts, AdmissionPhase::Validating));
        });
        let ratio = others.0.as_secs_f64() / took.0.as_secs_f64();
        println!(
            "{:52} p50 {:6.1} µs  p99 {:6.1} µs  {ratio:.1} times the speed of that parse",
            format!("{what}: decode, evaluate, respond"),
            us(took.0),
            us(took.1)
        );
    }
}

/// Created one by one, so that the resident memory afterwards is the memory of the stores.
fn objects() -> impl Iterator<Item = Value> {
    (0..NAMESPACES).map(namespace).chain((0..POLICIES).map(policy)).chain((0..PODS).map(pod))
}

fn namespace(i: usize) -> Value {
    let name = format!("team-{i}");
    let labels = json!({"kubernetes.io/metadata.name": name, "tier": format!("t{}", i % 7)});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A default deny, a DNS policy, and two other policies for each namespace.
fn policy(i: usize) -> Value {
    let each = POLICIES / NAMESPACES;
    let (namespace, number) = (format!("team-{}", i / each), i % each);
    let spec = match number {
        0 => json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        1 => json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]}),
        _ => json!({
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "web"}}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                "ports": [{"port": "http"}, {"port": 9090, "endPort": 9099}]}]}),
    };
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("p-{number}"), "namespace": namespace}, "spec": spec})
}

fn pod(i: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{i}"), "namespace": format!("team-{}", i % NAMESPACES),
            "labels": {"app": "web", "pod-template-hash": "7d77fb55cc"}},
        "spec": {"containers": []}, "status": {"phase": "Running"}})
}

fn review(operation: &str, namespace: usize) -> String {
    let namespace = format!("team-{namespace}");
    let mut request = json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "namespace": namespace,
        "userInfo": {"username": "system:serviceaccount:argocd:argocd-application-controller", "groups": ["system:authenticated"]}});
    if operation == "CREATE" {
        request["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
        request["resource"] = json!({"group": "", "version": "v1", "resource": "pods"});
        request["object"] = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-x", "namespace": namespace, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1.2", "ports": [{"name": "http", "containerPort": 8080}],
                "env": (0..60).map(|i| json!({"name": format!("SETTING_{i}"), "value": "some value of a setting"})).collect::<Vec<_>>()}]}});
    } else {
        request["kind"] = json!({"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"});
        request["resource"] =
            json!({"group": "networking.k8s.io", "version": "v1", "resource": "networkpolicies"});
        request["name"] = json!("p-0");
        request["oldObject"] = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p-0", "namespace": namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

/// The median and the 99th percentile.
fn measure(reviews: &[String], mut work: impl FnMut(&str, &Arena)) -> (Duration, Duration) {
    let mut arena = Arena::new();
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + ROUNDS / 10 {
        let review = &reviews[round % reviews.len()];
        let since = Instant::now();
        work(review, &arena);
        let took = since.elapsed();
        arena.reset();
        if round >= ROUNDS / 10 {
            times.push(took);
        }
    }
    times.sort_unstable();
    (times[ROUNDS / 2], times[ROUNDS * 99 / 100])
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    memory(std::process::id(), "VmRSS").unwrap_or_default()
}
