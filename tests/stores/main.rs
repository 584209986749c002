//! The cluster as the webhook knows it: what an API server lists and what it says of changes, versions that it has forgotten,
//! and silence.

#[expect(dead_code, reason = "another test asks for it on TLS")]
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
/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

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
    started.expect("it does not panic").expect("the kubeconfig is one");
    watched
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
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
    // More than a page.
    for i in 0..1201 {
        api.put("networkpolicies", policy(&format!("p-{i:04}"), 1));
    }
    let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
    until("all are known", || watched.unknown().is_empty()).await;
    assert_eq!(names(&watched, POLICIES).expect("they are known").len(), 1201);
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
        let new = watched.get(POLICIES.0, POLICIES.1, Some("shop"), "new", &arena).expect("it is known");
        let types = new.expect("it is there").at("spec.policyTypes").items().expect("a list");
        types.map(|item| item.text().expect("text")).eq(["Egress"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_looked_at_is_kept() {
    let api = FakeApiServer::start().await;
    for i in 0..100 {
        api.put("pods", pod(&format!("web-{i}")));
    }
    let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
    until("all are known", || watched.unknown().is_empty()).await;
    let known = watched.known().into_iter().find(|known| known.kind == "Pod").expect("it is watched");
    assert_eq!(known.objects, 100);
    assert!(known.bytes < 100 * 100, "{} bytes for 100 pods of 10 KB", known.bytes);
    let arena = Arena::new();
    let pods = watched.list("", "Pod", Some("shop"), &arena).expect("they are known");
    let kept = pods.first().expect("there are some").value().expect("it is an object").expect("it is there");
    assert!(!kept.to_string().contains("secret") && kept.to_string().contains(r#""app":"web""#), "{kept}");
    assert!(watched.list("", "Secret", None, &arena).is_err_and(|undecided| undecided.of_cluster));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_forgotten_is_listed_anew() {
    let api = FakeApiServer::start().await;
    api.put("networkpolicies", policy("old", 1));
    // Watches end, and are begun again, within half of that.
    let watched = watching(&api, Duration::from_secs(4), WhenStale::Use).await;
    until("it is known", || names(&watched, POLICIES) == Ok(vec!["old".to_owned()])).await;
    let listed = api.pages("networkpolicies");
    api.forget(|api| {
        api.delete("networkpolicies", "shop", "old");
        api.put("networkpolicies", policy("new", 2));
    });
    until("it is listed anew", || names(&watched, POLICIES) == Ok(vec!["new".to_owned()])).await;
    assert!(api.pages("networkpolicies") > listed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_makes_what_is_known_too_old_until_it_ends() {
    let api = FakeApiServer::start().await;
    api.put("networkpolicies", policy("deny", 1));
    let strict = watching(&api, Duration::from_secs(2), WhenStale::Deny).await;
    let lenient = watching(&api, Duration::from_secs(2), WhenStale::Use).await;
    for watched in [&strict, &lenient] {
        until("it is known", || names(watched, POLICIES).is_ok()).await;
    }
    // Quiet is not silence: where nothing changes, watches that end in time say so.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(names(&strict, POLICIES), Ok(vec!["deny".to_owned()]));
    api.refuse(true);
    until("it is too old", || names(&strict, POLICIES).is_err()).await;
    let reason = names(&strict, POLICIES).expect_err("it is too old");
    assert!(
        reason.contains("NetworkPolicy objects, of which what is known is more than 2 s old"),
        "{reason}"
    );
    assert_eq!(names(&lenient, POLICIES), Ok(vec!["deny".to_owned()]));
    until("failures are counted", || strict.known().iter().all(|known| known.failures > 0)).await;
    api.refuse(false);
    until("it is known again", || names(&strict, POLICIES).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_is_ready_when_the_cluster_is_known() {
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
    let output = "the cluster is not known yet: Namespace, NetworkPolicy, Pod\n";
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, output.to_owned()));
    let denied = evaluate(&webhook).await;
    let reason = "network-policy-required: could not decide: needs the cluster's NetworkPolicy objects, which the API server has not told yet";
    assert_eq!(denied["status"]["message"], reason, "{denied}");
    api.refuse(false);
    api.put("networkpolicies", policy("deny", 1));
    until("all are known", || watched.unknown().is_empty()).await;
    until("the policy too", || names(&watched, POLICIES).is_ok_and(|names| names.len() == 1)).await;
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

/// A watch that begins is no news: whatever breaks it before its time, what is known grows old, and everything is listed anew,
/// not too often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_breaks_is_not_believed() {
    for breaks in [Watches::EndAtOnce, Watches::Fail, Watches::Garbage, Watches::Status] {
        let api = FakeApiServer::start().await;
        api.put("networkpolicies", policy("old", 1));
        api.watches(breaks);
        let watched = watching(&api, Duration::from_secs(120), WhenStale::Deny).await;
        until("it is known", || names(&watched, POLICIES) == Ok(vec!["old".to_owned()])).await;
        api.put("networkpolicies", policy("new", 2));
        until("it is listed anew", || names(&watched, POLICIES).is_ok_and(|names| names.len() == 2)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let lists = api.pages("networkpolicies");
        assert!((2..=6).contains(&lists), "{breaks:?}: {lists} lists within seconds");
        api.refuse(true);
        let age =
            || watched.known().iter().find(|known| known.kind == "NetworkPolicy").and_then(|known| known.age);
        let before = age().expect("it is known");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(age().expect("it is known") > before + Duration::from_secs(1), "{breaks:?}: it grows old");
    }
}

/// What policies look at in one kind is kept for all of them.
#[test]
fn fields_of_several_readers_are_kept_together() {
    let reads =
        [WatchedKind::of("", "Pod", &["metadata.labels"]), WatchedKind::of("", "Pod", &["spec.containers"])];
    let watched = WatchedCluster::holding(reads, [pod("web")]).expect("it has a name");
    let arena = Arena::new();
    let web = watched.get("", "Pod", Some("shop"), "web", &arena).expect("it is known").expect("it is there");
    assert!(
        web.at("metadata.labels").is_set().expect("an object")
            && web.at("spec.containers").is_set().expect("an object")
    );
    assert!(!web.at("metadata.annotations").is_set().expect("an object"));
}

/// A quiet cluster says by bookmarks that nothing is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_keep_what_is_known_young() {
    let api = FakeApiServer::start().await;
    api.watches(Watches::Bookmarks);
    let watched = watching(&api, Duration::from_secs(60), WhenStale::Deny).await;
    until("all are known", || watched.unknown().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let oldest = watched.known().into_iter().filter_map(|known| known.age).max().expect("they are known");
    assert!(oldest < Duration::from_secs(2), "{oldest:?}");
}
