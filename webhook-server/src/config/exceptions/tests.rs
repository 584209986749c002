//! Tests of the denials that an exception suppresses, and of its expiration.

use policy_core::{AdmissionPhase, Arena, NoCluster, Review, Value, admit};

use super::*;
use crate::config::Config;

const EXCEPTION: &str = "
policies:
- name: pod-security-standards
exceptions:
- policy: pod-security-standards
  control: privileged
  namespace: falco
  workload: DaemonSet/falco
  container: falco
  reason: It must.
  owner: security
  expires: 2027-01-31
";

const OBJECT: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "falco-x", "namespace": "falco",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "falco", "controller": true}]},
        "spec": {"hostNetwork": false, "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "falco", "securityContext":
            {"privileged": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}"#;

/// The denials that remain for an object on a day, if the controller manager creates it.
fn left(config: &str, object: &str, day: &str) -> Vec<String> {
    left_of("CREATE", "system:kube-controller-manager", config, object, day)
}

/// Like [`left`], for another operation and user.
fn left_of(operation: &str, user: &str, config: &str, object: &str, day: &str) -> Vec<String> {
    let config = Config::parse(config, Path::new("policies.yaml")).unwrap();
    let object: serde_json::Value = serde_json::from_str(object).unwrap();
    let kind = serde_json::json!({"group": "", "version": "v1", "kind": object["kind"]});
    let mut old = if operation == "UPDATE" { object.clone() } else { serde_json::Value::Null };
    if let Some(spec) = old.pointer_mut("/spec").and_then(serde_json::Value::as_object_mut) {
        spec.remove("ephemeralContainers");
    }
    let review = serde_json::json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": operation, "kind": kind, "namespace": object["metadata"]["namespace"],
        "subResource": if operation == "UPDATE" { "ephemeralcontainers" } else { "" },
        "userInfo": {"username": user}, "object": object, "oldObject": old}});
    let (arena, text) = (Arena::new(), review.to_string());
    let review = Review::decode(text.as_bytes(), &arena).unwrap();
    let mut verdicts = admit(&config.policies, &review.request, &NoCluster, AdmissionPhase::Validating);
    config.exceptions.apply_on(day.parse().unwrap(), &review.request, WorkloadKinds::BUILT_IN, &mut verdicts);
    verdicts.rows.iter().flat_map(|row| &row.verdict.denials).map(Finding::sentence).collect()
}

#[test]
fn a_pod_cannot_except_itself() {
    for user in [
        "",
        "admin",
        "system:serviceaccount:falco:daemon-set-controller",
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:serviceaccount:kube-system:default",
    ] {
        assert_eq!(left_of("CREATE", user, EXCEPTION, OBJECT, "2026-11-24").len(), 1, "{user}");
    }
    let controller = "system:serviceaccount:kube-system:daemon-set-controller";
    assert_eq!(left_of("CREATE", controller, EXCEPTION, OBJECT, "2026-11-24"), Vec::<String>::new());
    // An ephemeral container with the same name, in an excepted pod.
    let debugged = OBJECT.replace(
        r#""containers""#,
        r#""ephemeralContainers": [{"name": "falco", "securityContext": {"privileged": true}}], "containers""#,
    );
    assert!(!left_of("UPDATE", "admin", EXCEPTION, &debugged, "2026-11-24").is_empty());
}

#[test]
fn only_the_values_that_it_names_are_excepted() {
    let exception = |control: &str, place: &str, values: &str| {
        EXCEPTION
            .replace("control: privileged", &format!("control: {control}"))
            .replace("container: falco", &format!("{place}\n  values: {values}"))
    };
    let pod = OBJECT.replace(r#""privileged": true, "#, "");
    let adding = pod.replace(r#""drop": ["ALL"]"#, r#""drop": ["ALL"], "add": ["BPF", "PERFMON"]"#);
    let both = exception("capabilities_restricted", "container: falco", "[BPF, PERFMON]");
    assert_eq!(left(&both, &adding, "2026-11-24"), Vec::<String>::new());
    let one = exception("capabilities_restricted", "container: falco", "[BPF]");
    assert_eq!(left(&one, &adding, "2026-11-24").len(), 1);
    assert_eq!(
        left(&both, &adding.replace(r#""drop": ["ALL"], "#, ""), "2026-11-24").len(),
        1,
        "the missing drop must not be excepted"
    );
    let mounting = |path: &str| {
        pod.replace(
            r#""containers""#,
            &format!(r#""volumes": [{{"name": "proc", "hostPath": {{"path": "{path}"}}}}], "containers""#),
        )
    };
    let proc = exception("restrictedVolumes", "volumes: [proc]", "[/proc]");
    assert_eq!(left(&proc, &mounting("/proc"), "2026-11-24"), Vec::<String>::new());
    assert_eq!(left(&proc, &mounting("/"), "2026-11-24").len(), 1);
    assert_eq!(left(&proc, &mounting("/proc/"), "2026-11-24").len(), 1);
}

#[test]
fn exceptions_apply_until_their_last_day() {
    assert_eq!(left(EXCEPTION, OBJECT, "2026-11-24"), Vec::<String>::new());
    assert_eq!(left(EXCEPTION, OBJECT, "2027-01-31"), Vec::<String>::new());
    assert_eq!(
        left(EXCEPTION, OBJECT, "2027-02-01"),
        ["spec.containers[0].securityContext.privileged: must not be true; its exception expired on \
          2027-01-31: ask security (privileged)"]
    );
}

#[test]
fn exceptions_cover_only_the_named_parts() {
    for (from, to) in [
        (r#""namespace": "falco""#, r#""namespace": "other""#),
        (r#""name": "falco", "controller""#, r#""name": "other", "controller""#),
        (r#""kind": "DaemonSet""#, r#""kind": "StatefulSet""#),
        (r#""controller": true"#, r#""controller": false"#),
        (r#"{"name": "falco", "sec"#, r#"{"name": "other", "sec"#),
        (r#"[{"name": "falco", "sec"#, r#"[{"sec"#),
        (r#""privileged": true"#, r#""privileged": "yes""#),
        (r#""hostNetwork": false"#, r#""hostNetwork": true"#),
    ] {
        let object = OBJECT.replace(from, to);
        assert_ne!(object, OBJECT, "{from}");
        assert_eq!(left(EXCEPTION, &object, "2026-11-24").len(), 1, "{to}");
    }
    let pod = OBJECT.replace(r#""containers""#, r#""initContainers": [{"name": "a", "securityContext":
            {"privileged": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}], "containers""#);
    assert_eq!(left(EXCEPTION, &pod, "2026-11-24").len(), 1);
}

#[test]
fn pods_belong_to_their_deployment_or_cron_job() {
    let owned = |owner: &str, labels: &str| {
        OBJECT
            .replace(r#""kind": "DaemonSet", "name": "falco""#, owner)
            .replace(r#""name": "falco-x","#, &format!(r#""name": "x", "labels": {labels},"#))
    };
    let deployment = EXCEPTION.replace("DaemonSet/falco", "Deployment/falco");
    let of_deployment =
        owned(r#""kind": "ReplicaSet", "name": "falco-abc""#, r#"{"pod-template-hash": "abc"}"#);
    assert_eq!(left(&deployment, &of_deployment, "2026-11-24"), Vec::<String>::new());
    let of_another = owned(r#""kind": "ReplicaSet", "name": "falco-abc""#, "{}");
    assert_eq!(left(&deployment, &of_another, "2026-11-24").len(), 1);
    let cron_job = EXCEPTION.replace("DaemonSet/falco", "CronJob/falco");
    let of_cron_job =
        owned(r#""kind": "Job", "name": "falco-29384756""#, "{}").replace("apps/v1", "batch/v1");
    assert_eq!(left(&cron_job, &of_cron_job, "2026-11-24"), Vec::<String>::new());
    // A Job with another number in its name does not belong to the CronJob.
    let of_nobody = owned(r#""kind": "Job", "name": "falco-2""#, "{}");
    assert_eq!(left(&cron_job, &of_nobody, "2026-11-24").len(), 1);
}

#[test]
fn invalid_exceptions_are_reported_with_their_line() {
    for (from, to, reason) in [
        ("2027-01-31", "soon", "policies.yaml: 5:3: expires: must be a date such as `2027-06-30`, is `soon`"),
        ("2027-01-31", "2027-02-30", "expires: must be a date"),
        ("DaemonSet/falco", "falco", "workload: must be KIND/NAME"),
        ("It must.", "''", "reason: must not be empty"),
        ("  owner: security\n", "", "missing field `owner`"),
        ("  owner: security\n", "  owner: a\n  level: b\n", "unknown field `level`"),
        (
            "control: privileged",
            "control: priveleged",
            "control: `priveleged` is not a control of pod-security-standards",
        ),
        ("container: falco", "container: ''", "must not be empty"),
        ("- policy: pod-security-standards", "- policy: nope", "unknown policy `nope`"),
    ] {
        let text = EXCEPTION.replacen(from, to, 1);
        assert_ne!(text, EXCEPTION, "{from}");
        let error = format!("{:#}", Config::parse(&text, Path::new("policies.yaml")).err().unwrap());
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn unused_exceptions_are_found() {
    let config = Config::parse(EXCEPTION, Path::new("policies.yaml")).unwrap();
    let arena = Arena::new();
    assert_eq!(config.exceptions.unused(false).count(), 0);
    assert_eq!(config.exceptions.unused(true).count(), 1);
    let daemon_set = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "falco", "namespace": "falco"},
        "spec": {"template": {"spec": {"containers": [{"name": "falco", "securityContext": {"privileged": true}}]}}}}"#;
    for (object, unused) in [(daemon_set.replace("true", "false"), 1), (daemon_set.to_owned(), 0)] {
        let object = Value::from_json(object.as_bytes(), &arena).unwrap();
        let request = Request::create(Field::root(object, &arena), "default").unwrap();
        let mut verdicts = admit(&config.policies, &request, &NoCluster, AdmissionPhase::Validating);
        config.exceptions.apply(&request, WorkloadKinds::BUILT_IN, &mut verdicts);
        assert_eq!(config.exceptions.unused(false).count(), unused);
    }
}
