//! Tests of the cluster data: lists, watches, expired resource versions, and an API server that does not respond.

#[expect(dead_code, reason = "other tests use it with TLS")]
mod api;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use policy_core::{Arena, Cluster as _, ConfiguredPolicy, PolicyDefinition, WatchedKind};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use webhook_server::args::WhenStale;
use webhook_server::server::cluster::WatchedCluster;
use webhook_server::server::webhook::Webhook;

use api::{FakeApiServer, Watches};

const READS: [WatchedKind; 3] = [WatchedKind::NAMESPACE, WatchedKind::NETWORK_POLICY, WatchedKind::POD];
/// The timeout for conditions that must eventually hold.
const PATIENCE: Duration = Duration::from_secs(120);

fn policy(name: &str, version: u64) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"},
            "annotations": {"a": "x".repeat(10_000)}},
        "spec": {"containers": [{"name": "web", "image": "web", "env": [{"name": "PASSWORD", "value": "secret"}]}]}})
}

async fn watching(api: &FakeApiServer, max_age: Duration, when_stale: WhenStale) -> Arc<WatchedCluster> {
    let watched = Arc::new(WatchedCluster::new(READS, max_age, when_stale));
    let (starting, file) = (watched.clone(), api.kubeconfig());
    let started = tokio::task::spawn_blocking(move || starting.start(Some(&file))).await;
    started.expect("the task does not panic").expect("the kubeconfig is valid");
    watched
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "timeout: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn names(watched: &WatchedCluster, kind: (&str, &str)) -> Result<Vec<String>, String> {
    let arena = Arena::new();
    let listed =
        watched.list(kind.0, kind.1, Some("shop"), &arena).map_err(|undecided| undecided.to_string())?;
    Ok(listed
        .iter()
        .map(|object| object.at("metadata.name").text().expect("it has a name").to_owned())
        .collect())
}

const POLICIES: (&str, &str) = ("networking.k8s.io", "NetworkPolicy");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_listed_page_by_page_and_changes_are_followed() {
    let api = FakeApiServer::start().await;
    // Several pages.
    for i in 0..1201 {
        api.put("networkpolicies", policy(&format!("p-{i:04}"), 1));
    }
    let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
    until("all kinds are listed", || watched.unknown().is_empty()).await;
    assert_eq!(names(&watched, POLICIES).expect("they are listed").len(), 1201);
    assert!(api.pages("networkpolicies") >= 3);
    api.put("networkpolicies", policy("new", 2));
    until("the new one", || names(&watched, POLICIES).is_ok_and(|names| names.contains(&"new".to_owned())))
        .await;
    api.delete("networkpolicies", "shop", "p-0000");
    until("one less", || names(&watched, POLICIES).is_ok_and(|names| names.len() == 1201)).await;
    let mut changed = policy("new", 3);
    changed["spec"]["policyTypes"] = json!(["Egress"]);
    api.put("networkpolicies", changed);
    until("the change", || {
        let arena = Arena::new();
        let new = watched.get(POLICIES.0, POLICIES.1, Some("shop"), "new", &arena).expect("it is listed");
        let types = new.expect("it exists").at("spec.policyTypes").items().expect("a list");
        types.map(|item| item.text().expect("text")).eq(["Egress"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_fields_that_policies_read_are_stored() {
    let api = FakeApiServer::start().await;
    for i in 0..100 {
        api.put("pods", pod(&format!("web-{i}")));
    }
    let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
    until("all kinds are listed", || watched.unknown().is_empty()).await;
    let known = watched.known().into_iter().find(|known| known.kind == "Pod").expect("it is watched");
    assert_eq!(known.objects, 100);
    assert!(known.bytes < 100 * 100, "{} bytes for 100 pods of 10 KB", known.bytes);
    let arena = Arena::new();
    let pods = watched.list("", "Pod", Some("shop"), &arena).expect("they are known");
    let kept = pods.first().expect("there are some").value().expect("it is an object").expect("it is there");
    assert!(!kept.to_string().contains("secret") && kept.to_string().contains(r#""app":"web""#), "{kept}");
    assert!(watched.list("", "Secret", None, &arena).is_err_and(|undecided| undecided.is_cluster_error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_resource_version_causes_a_new_list() {
    let api = FakeApiServer::start().await;
    api.put("networkpolicies", policy("old", 1));
    // Watches end and restart within half of the maximum age.
    let watched = watching(&api, Duration::from_secs(4), WhenStale::Use).await;
    until("the old policy is listed", || names(&watched, POLICIES) == Ok(vec!["old".to_owned()])).await;
    let listed = api.pages("networkpolicies");
    api.forget(|api| {
        api.delete("networkpolicies", "shop", "old");
        api.put("networkpolicies", policy("new", 2));
    });
    until("the new policy is listed", || names(&watched, POLICIES) == Ok(vec!["new".to_owned()])).await;
    assert!(api.pages("networkpolicies") > listed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_stale_while_the_api_server_is_silent() {
    let api = FakeApiServer::start().await;
    api.put("networkpolicies", policy("deny", 1));
    let strict = watching(&api, Duration::from_secs(2), WhenStale::Deny).await;
    let lenient = watching(&api, Duration::from_secs(2), WhenStale::Use).await;
    for watched in [&strict, &lenient] {
        until("the policy is listed", || names(watched, POLICIES).is_ok()).await;
    }
    // A cluster without changes is not stale, because watches that end in time confirm the data.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(names(&strict, POLICIES), Ok(vec!["deny".to_owned()]));
    api.refuse(true);
    until("the data is stale", || names(&strict, POLICIES).is_err()).await;
    let reason = names(&strict, POLICIES).expect_err("the data is stale");
    assert!(reason.contains("NetworkPolicy objects, last updated more than 2 s ago"), "{reason}");
    assert_eq!(names(&lenient, POLICIES), Ok(vec!["deny".to_owned()]));
    until("failures are counted", || strict.known().iter().all(|known| known.failures > 0)).await;
    api.refuse(false);
    until("the data is fresh again", || names(&strict, POLICIES).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_is_ready_when_all_kinds_are_listed() {
    let api = FakeApiServer::start().await;
    api.refuse(true);
    let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
    let entry: &PolicyDefinition = policy_catalog::find("network-policy-required").expect("it exists");
    let policy_required = ConfiguredPolicy {
        metadata: entry.metadata,
        policy: (entry.configure)(r#"{"dns":false}"#).expect("settings"),
    };
    let webhook = Webhook::watching(vec![policy_required], watched.clone());
    let ready = || async {
        let request = Request::get("/readyz").body(Body::empty()).expect("a request");
        let response = webhook.router().oneshot(request).await.expect("it answers");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let problem = "cluster data not loaded yet: Namespace, NetworkPolicy, Pod\n";
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, problem.to_owned()));
    let denied = evaluate(&webhook).await;
    let reason = "network-policy-required: could not decide: needs the cluster's NetworkPolicy objects, which have not been listed yet";
    assert_eq!(denied["status"]["message"], reason, "{denied}");
    api.refuse(false);
    api.put("networkpolicies", policy("deny", 1));
    until("all kinds are listed", || watched.unknown().is_empty()).await;
    until("the policy is listed", || names(&watched, POLICIES).is_ok_and(|names| names.len() == 1)).await;
    assert_eq!(ready().await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(evaluate(&webhook).await["allowed"], true);
    let text = webhook.metrics().text().expect("metrics");
    for line in [
        "pratique_cluster_objects{kind=\"NetworkPolicy\"} 1\n",
        "pratique_cluster_age_seconds{kind=\"Pod\"} ",
        "pratique_cluster_bytes{kind=\"Namespace\"} 0\n",
        "pratique_cluster_failures_total{kind=\"Pod\"} ",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

async fn evaluate(webhook: &Webhook) -> Value {
    let mut object = pod("web");
    object["metadata"]["annotations"] = Value::Null;
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": "shop", "name": "web", "object": object,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}}});
    let request = Request::post("/validate").header("content-type", "application/json");
    let request = request.body(Body::from(review.to_string())).expect("a request");
    let response = webhook.router().oneshot(request).await.expect("it answers");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice::<Value>(&body).expect("JSON")["response"].clone()
}

/// The start of a watch does not refresh the data. If a watch ends early for any reason, the data ages and everything is listed
/// again, but not too often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_watch_does_not_refresh_the_data() {
    for breaks in [Watches::EndAtOnce, Watches::Fail, Watches::Garbage, Watches::Status] {
        let api = FakeApiServer::start().await;
        api.put("networkpolicies", policy("old", 1));
        api.watches(breaks);
        let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
        until("the old policy is listed", || names(&watched, POLICIES) == Ok(vec!["old".to_owned()])).await;
        api.put("networkpolicies", policy("new", 2));
        until("the new policy is listed", || names(&watched, POLICIES).is_ok_and(|names| names.len() == 2))
            .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let lists = api.pages("networkpolicies");
        assert!((2..=6).contains(&lists), "{breaks:?}: {lists} lists within seconds");
        api.refuse(true);
        let age =
            || watched.known().iter().find(|known| known.kind == "NetworkPolicy").and_then(|known| known.age);
        let before = age().expect("it is known");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(age().expect("it is known") > before + Duration::from_secs(1), "{breaks:?}: the data ages");
    }
}

/// If several policies read different fields of a kind, all of these fields are kept.
#[test]
fn fields_of_several_readers_are_kept_together() {
    let reads =
        [WatchedKind::of("", "Pod", &["metadata.labels"]), WatchedKind::of("", "Pod", &["spec.containers"])];
    let watched = WatchedCluster::with_objects(reads, [pod("web")]).expect("it has a name");
    let arena = Arena::new();
    let web = watched.get("", "Pod", Some("shop"), "web", &arena).expect("it is known").expect("it is there");
    assert!(
        web.at("metadata.labels").is_set().expect("an object")
            && web.at("spec.containers").is_set().expect("an object")
    );
    assert!(!web.at("metadata.annotations").is_set().expect("an object"));
}

/// Bookmarks confirm the data if nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_refresh_the_data() {
    let api = FakeApiServer::start().await;
    api.watches(Watches::Bookmarks);
    let watched = watching(&api, Duration::from_secs(60), WhenStale::Deny).await;
    until("all kinds are listed", || watched.unknown().is_empty()).await;
    let oldest = || watched.known().into_iter().filter_map(|known| known.age).max().expect("they are known");
    // Nothing changes, so only bookmarks can make the data younger.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = oldest();
        until("a bookmark confirms the data", || oldest() < before).await;
    }
}
