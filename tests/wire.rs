//! Tests of the HTTP interface: responses must be valid for an API server, and errors must be helpful.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use policy_catalog::POLICIES;
use policy_core::{Cluster, ConfiguredPolicy, Evaluate, Undecided, Verdict};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use webhook_server::args::Selection;
use webhook_server::config::Config;
use webhook_server::server::webhook::{BODY_LIMIT, Webhook};

fn webhook() -> Webhook {
    Webhook::new(Config::load(&Selection::default(), false).expect("every policy has defaults"))
}

async fn send(request: Request<Body>) -> (StatusCode, String) {
    let response = webhook().router().oneshot(request).await.expect("a router always answers");
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("an answer has a body");
    (status, String::from_utf8(body.to_vec()).expect("an answer is UTF-8"))
}

async fn post(path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post(path).header("content-type", "application/json; charset=utf-8");
    send(request.body(body.into()).expect("a request")).await
}

fn review(request: Value) -> Value {
    let mut all = json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "someone"},
    });
    for (key, value) in request.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": all})
}

async fn answer(path: &str, request: Value) -> Value {
    let (status, body) = post(path, review(request).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("an answer is JSON");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    answer["response"].clone()
}

fn privileged() -> Value {
    json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [
        {"name": "web", "securityContext": {"privileged": true}}
    ]}})
}

#[tokio::test]
async fn denials_name_field_and_message() {
    for path in ["/validate", "/validate/pod-security-standards"] {
        let response = answer(path, json!({"object": privileged()})).await;
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response["status"]["reason"], "Forbidden");
        assert_eq!(response["status"]["status"], "Failure");
        assert_eq!(response["status"]["details"]["kind"], "Pod");
        assert_eq!(response["status"]["details"]["name"], "web-");
        let message = response["status"]["message"].as_str().expect("a message");
        assert!(message.starts_with("pod-security-standards: spec.containers[0]."), "{message}");
        assert!(message.contains("securityContext.privileged: must not be true (privileged)"), "{message}");
        let causes = response["status"]["details"]["causes"].as_array().expect("causes");
        let cause = json!({"reason": "privileged", "message": "must not be true",
            "field": "spec.containers[0].securityContext.privileged"});
        assert!(causes.contains(&cause), "{causes:?}");
        assert_eq!(causes.len(), 5);
        for key in ["patch", "patchType"] {
            assert!(response.get(key).is_none(), "{key} must be absent, because nothing changed");
        }
    }
}

/// Validating policies do not run in the mutating webhook, because other webhooks may still change the object.
#[tokio::test]
async fn mutation_does_not_deny_for_validating_policies() {
    let response = answer("/mutate", json!({"object": privileged()})).await;
    assert_eq!(response["allowed"], true, "{response}");
    // Otherwise a webhook that is registered with this path would seem to enforce the policy.
    let (status, text) = post("/mutate/pod-security-standards", "{}").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("is not a mutating policy: use /validate/pod-security-standards"), "{text}");
}

/// The error for an unknown path lists the valid paths.
#[tokio::test]
async fn unknown_paths_list_the_valid_ones() {
    for path in ["/", "/validate/", "//validate", "/metrics"] {
        let (status, text) = post(path, "{}").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(
            text.contains("/validate, /mutate, ") || text.contains("policy `` is not configured"),
            "{path}: {text}"
        );
    }
    let (status, text) = send(Request::get("/validate").body(Body::empty()).expect("a request")).await;
    assert_eq!(
        (status, text.as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "use POST for admission reviews and GET for /healthz and /readyz\n")
    );
}

/// A policy that denies a label that another policy adds.
struct DeniesTheLabel;

impl Evaluate for DeniesTheLabel {
    fn evaluate(
        &self,
        request: &policy_core::Request<'_>,
        _: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let label = request.object.at("metadata.labels").key("pratique.dev/scrape");
        if label.is_set()? {
            verdict.deny(label, "must not be set");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_patch_that_would_be_denied_is_an_error_and_is_counted() {
    let find = |name| policy_catalog::find(name).expect("it is in the catalog");
    let labels = find("prometheus-labels");
    let policies = vec![
        ConfiguredPolicy {
            metadata: find("pod-security-standards").metadata,
            policy: Box::new(DeniesTheLabel),
        },
        ConfiguredPolicy {
            metadata: labels.metadata,
            policy: (labels.configure)("").expect("it has defaults"),
        },
    ];
    let webhook = Webhook::new(policies);
    let object = json!({"metadata": {"name": "web"}, "spec": {"containers": [
        {"name": "web", "ports": [{"name": "metrics", "containerPort": 9090}]}]}});
    let body = review(json!({"object": object})).to_string();
    let request = |path: &str| {
        Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.clone()))
            .expect("a request")
    };
    let response = webhook.router().oneshot(request("/mutate")).await.expect("it answers");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("an answer has a body");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(
        text.contains(
            "the patch would be denied: pod-security-standards: metadata.labels[pratique.dev/scrape]"
        ),
        "{text}"
    );
    let metrics = webhook.metrics().text().expect("it prints");
    assert!(metrics.contains("pratique_invalid_patches_total 1"), "{metrics}");
    // The original object is admitted.
    let response = webhook.router().oneshot(request("/validate")).await.expect("it answers");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_allow_is_short() {
    let object = json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    let response = answer("/validate", json!({"object": object, "dryRun": true})).await;
    // Keys have no prefix, because the API server adds the name of the webhook and a slash.
    let audit = json!({"exporter-sidecar": "namespace-unknown"});
    assert_eq!(
        response,
        json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true, "auditAnnotations": audit})
    );
}

#[tokio::test]
async fn operations_without_a_new_object_are_answered() {
    for request in [
        json!({"operation": "DELETE", "object": null, "oldObject": privileged()}),
        json!({"operation": "CONNECT", "subResource": "exec", "kind": {"version": "v1", "kind": "PodExecOptions"},
            "object": {"command": ["sh"]}}),
    ] {
        assert_eq!(answer("/mutate", request.clone()).await["allowed"], true, "{request}");
        assert_eq!(answer("/validate", request.clone()).await["allowed"], true, "{request}");
    }
}

#[tokio::test]
async fn an_ephemeral_container_is_evaluated() {
    let mut old = privileged();
    old["spec"]["containers"][0]["securityContext"] = json!({"privileged": false});
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"] = json!([{"name": "debug", "securityContext": {"privileged": true}}]);
    let request =
        json!({"operation": "UPDATE", "subResource": "ephemeralcontainers", "object": new, "oldObject": old});
    let response = answer("/validate", request).await;
    let message = response["status"]["message"].as_str().expect("it is denied");
    assert!(message.contains("spec.ephemeralContainers[0].securityContext.privileged: must not be true"));
}

#[tokio::test]
async fn impossible_objects_are_denied() {
    for object in
        [json!(null), json!("text"), json!([]), json!({"spec": 7}), json!({"spec": {"containers": "oops"}})]
    {
        let response = answer("/validate", json!({"object": object})).await;
        let message = response["status"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("could not decide: "), "{object}: {message}");
    }
}

#[tokio::test]
async fn invalid_reviews_are_bad_requests() {
    for (body, reason) in [
        ("", "not readable as JSON"),
        ("null", "apiVersion: must be `admission.k8s.io/v1`"),
        ("{}", "apiVersion: must be `admission.k8s.io/v1`"),
        (
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#,
            "is `admission.k8s.io/v1beta1`",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
            "request.operation: must be set",
        ),
        (r#"{"a":1,"a":2}"#, "duplicate key `a`"),
        ("\u{feff}{}", "not readable as JSON"),
    ] {
        let (status, answer) = post("/validate", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.contains(reason), "{body}: {answer}");
    }
    let (status, answer) = post("/validate", &b"{\"a\":\"\xff\"}"[..]).await;
    assert_eq!(
        (status, answer.as_str()),
        (StatusCode::BAD_REQUEST, "not readable as JSON: not valid UTF-8 at byte 6\n")
    );
}

#[tokio::test]
async fn other_content_types_are_rejected() {
    for content_type in ["text/plain", "application/yaml", "", "application/jsonx"] {
        let request = Request::post("/validate").header("content-type", content_type);
        let (status, answer) = send(request.body("{}".into()).expect("a request")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(answer.contains("must be application/json"), "{answer}");
    }
    let (status, _) = send(Request::post("/validate").body("{}".into()).expect("a request")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn reviews_are_read_up_to_the_limit() {
    let padded = |size: usize| {
        let mut object = privileged();
        object["metadata"]["annotations"] = json!({"padding": ""});
        let least = review(json!({"object": object})).to_string().len();
        object["metadata"]["annotations"]["padding"] = "x".repeat(size - least).into();
        review(json!({"object": object})).to_string()
    };
    let (status, answer) = post("/validate", padded(BODY_LIMIT)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("must not be true"), "a large review is evaluated like a small one");
    let (status, _) = post("/validate", padded(BODY_LIMIT + 1)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let announced = Request::post("/validate")
        .header("content-type", "application/json")
        .header("content-length", (BODY_LIMIT + 1).to_string());
    // The body never arrives, so the response shows that it is not read.
    let never = Body::from_stream(Never);
    let (status, answer) = send(announced.body(never).expect("a request")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.contains("larger than 7340032 bytes"), "{answer}");
}

#[tokio::test]
async fn missing_bodies_time_out_at_the_callers_deadline() {
    let request = Request::post("/validate?timeout=50ms").header("content-type", "application/json");
    let (status, answer) = send(request.body(Body::from_stream(Never)).expect("a request")).await;
    assert_eq!(
        (status, answer.as_str()),
        (StatusCode::REQUEST_TIMEOUT, "the review did not arrive within 50ms\n")
    );
}

/// A bug in a policy affects only one request.
#[tokio::test]
async fn a_panic_is_contained() {
    struct Bug;
    impl Evaluate for Bug {
        fn evaluate(
            &self,
            request: &policy_core::Request<'_>,
            _: &dyn Cluster,
            _: &mut Verdict,
        ) -> Result<(), Undecided> {
            assert!(request.namespace != "shop", "a bug");
            Ok(())
        }
    }
    let webhook =
        Webhook::new(vec![ConfiguredPolicy { metadata: POLICIES[0].metadata, policy: Box::new(Bug) }]);
    for large in [0, 200_000] {
        let mut object = privileged();
        object["metadata"]["annotations"] = json!({"padding": "x".repeat(large)});
        let review = |namespace: &str| review(json!({"object": object, "namespace": namespace})).to_string();
        for (namespace, status) in [("shop", StatusCode::INTERNAL_SERVER_ERROR), ("other", StatusCode::OK)] {
            let request = Request::post("/validate").header("content-type", "application/json");
            let request = request.body(Body::from(review(namespace))).expect("a request");
            let response = webhook.router().oneshot(request).await.expect("a router always answers");
            assert_eq!(response.status(), status, "{namespace}");
        }
    }
}

/// Even with as many violations as a request can contain, the response is smaller than the request.
#[tokio::test]
async fn an_answer_stays_smaller_than_a_hostile_request() {
    let containers = vec![json!({}); 900_000];
    let sysctl = "x".repeat(2_900_000);
    for spec in [
        json!({"containers": containers}),
        json!({"containers": [{}], "securityContext": {"sysctls": [{"name": sysctl}]}}),
        json!({"containers": [{}], "volumes": vec![json!({"x": 1}); 300_000]}),
    ] {
        let response = answer("/validate", json!({"object": {"spec": spec}})).await;
        assert_eq!(response["allowed"], false);
        assert!(response.to_string().len() < 500_000, "{}", response.to_string().len());
    }
}

#[tokio::test]
async fn other_routes_are_refused() {
    let (status, answer) = post("/validate/no-such-policy", "{}").await;
    assert_eq!(
        (status, answer.as_str()),
        (StatusCode::NOT_FOUND, "policy `no-such-policy` is not configured\n")
    );
    assert_eq!(post("/", "{}").await.0, StatusCode::NOT_FOUND);
    let get = Request::get("/validate").body(Body::empty()).expect("a request");
    assert_eq!(send(get).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn shutdown_changes_readiness_but_not_health() {
    let webhook = webhook();
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        webhook.router().oneshot(request).await.expect("a router always answers").status()
    };
    assert_eq!(get("/readyz").await, StatusCode::OK);
    webhook.set_ready(false);
    assert_eq!(get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/healthz").await, StatusCode::OK);
}

/// A body that never yields data.
struct Never;

impl futures_core::Stream for Never {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}
