//! Tests of the command line and policies.yaml: which policies run, and which errors are reported.

use conformance::folder::Folder;
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{PRIVILEGED, expect, run, text};

pub(crate) fn invalid_settings_are_named() -> Result<(), Failed> {
    for (set, reason) in [
        (r#"pod-security-standards={"levle":"baseline"}"#, "unknown field `levle`, expected one of `level`"),
        (r#"pod-security-standards={"level":"strict"}"#, "unknown variant `strict`"),
        (r#"pod-security-standards={"level":7}"#, "must be"),
        (r#"pod-security-standards={"version":"1.29"}"#, "must be `latest` or like `v1.29`, is `1.29`"),
        ("pod-security-standards={", "EOF"),
        ("pod-security-standards=[]", "must be an object, is a list"),
        ("pod-security-standards", "must be NAME={json}"),
        (
            "nope={}",
            "unknown policy `nope`; available policies: config-references, exporter-sidecar, metric-path, network-policy-required, pod-security-standards",
        ),
    ] {
        let output = run(&["check", "--set", set, "manifests"]);
        expect(&output, 2)?;
        let err = text(&output.stderr);
        assert!(err.contains(reason), "{set}: {err}");
    }
    Ok(())
}

pub(crate) fn a_config_file_chooses_policies() -> Result<(), Failed> {
    let folder = Folder::new("config");
    let bad = folder.file("bad.yaml", PRIVILEGED);
    let bad = bad.to_str().ok_or("a path is UTF-8")?;
    let with = |config: &str| {
        let config = folder.file("policies.yaml", config);
        run(&["check", "--config", config.to_str().expect("a path is UTF-8"), bad])
    };
    expect(&with("policies:\n- name: pod-security-standards\n  settings: { level: privileged }\n"), 0)?;
    expect(&with("policies:\n- name: pod-security-standards\n"), 1)?;
    for (config, reason) in [
        ("policies:\n- name: nope\n", "unknown policy `nope`"),
        (
            "policies:\n- name: pod-security-standards\n  setings: {}\n",
            "policies.yaml: 3:3: setings: unknown field `setings`",
        ),
        ("policies:\n- name: pod-security-standards\n- name: pod-security-standards\n", "listed twice"),
        ("polices: []\n", "policies.yaml: 1:1: unknown field `polices`"),
        ("policies: []\n", "no policy is listed"),
        ("policies: []\npolicies: []\n", "2:"),
        ("", "must be one YAML document"),
        (
            "policies:\n- name: pod-security-standards\n  settings: { levle: x }\n",
            "3:3: settings of pod-security-standards: unknown field `levle`",
        ),
    ] {
        let output = with(config);
        expect(&output, 2)?;
        let err = text(&output.stderr);
        assert!(err.contains(reason), "{config}: {err}");
    }
    Ok(())
}

/// An object of an added kind is evaluated, and policies that read other objects can see it.
pub(crate) fn custom_pod_kinds_can_be_configured() -> Result<(), Failed> {
    let folder = Folder::new("pod-templates");
    let set = "apiVersion: shop.example/v1
kind: Storefront
metadata: {name: web, namespace: shop}
spec:
  pods:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 100m}}, securityContext: {privileged: false}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: shop.example/v1, kind: Storefront, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]
";
    let policies =
        "policies:\n- name: metric-path\n- name: pod-security-standards\n  settings: {level: baseline}\n";
    let check = |row: &str, set: &str| {
        folder.file("policies.yaml", format!("podTemplates:\n- {row}\n{policies}"));
        let file = folder.file("set.yaml", set);
        run(&["check", file.parent().and_then(|path| path.to_str()).expect("a path is UTF-8")])
    };
    let row = "{group: shop.example, kind: Storefront, path: spec.pods, scalable: true}";
    expect(&check(row, set), 0)?;
    expect(&check(row, &set.replace("privileged: false", "privileged: true")), 1)?;
    expect(&check(row, &set.replace("{requests: {cpu: 100m}}", "{}")), 1)?;
    // If the path is wrong, `check` must not pass just because it finds no pods.
    let output = check("{group: shop.example, kind: Storefront, scalable: true}", set);
    assert_ne!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("spec.template") || text(&output.stderr).contains("spec.template"));
    Ok(())
}

/// A configuration with an exception for the denial of [`PRIVILEGED`] at level baseline.
const EXCEPTING: &str = "policies:
- name: pod-security-standards
  settings: {level: baseline}
exceptions:
- policy: pod-security-standards
  control: privileged
  namespace: shop
  workload: Pod/web
  container: web
  reason: It must.
  owner: shop
  expires: 9999-12-31
";

/// `policies.yaml` in the evaluated directory is its configuration, and not a manifest.
pub(crate) fn exceptions_admit_until_they_expire() -> Result<(), Failed> {
    let folder = Folder::new("excepted");
    folder.file("pod.yaml", PRIVILEGED);
    folder.file("policies.yaml", EXCEPTING);
    let path = folder.0.to_str().ok_or("a path is UTF-8")?;
    let output = run(&["check", path]);
    expect(&output, 0)?;
    assert!(text(&output.stderr).contains("using policies and exceptions from"), "it must name the file");
    let all = "1 object, 1 evaluated: 0 denied, 0 warned, 0 patched, 1 finding excepted\n";
    assert_eq!(text(&output.stdout), all);
    let output = run(&["check", "--output", "json", path]);
    expect(&output, 0)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let row = &report["verdicts"][0];
    assert_eq!((&row["outcome"], &row["denials"]), (&json!("allow"), &json!([])));
    assert_eq!(
        row["excepted"],
        json!([{"field": "spec.containers[0].securityContext.privileged", "message": "must not be true",
                "control": "privileged", "line": 11, "column": 7,
                "reason": "It must.", "owner": "shop", "expires": "9999-12-31"}])
    );
    // The webhook has the same exceptions.
    expect(&run(&["demo", path]), 0)?;
    folder.file("policies.yaml", EXCEPTING.replace("9999-12-31", "2026-01-01"));
    for command in ["check", "demo"] {
        let output = run(&[command, path]);
        expect(&output, 1)?;
        let output = text(&output.stdout);
        let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            output.contains("must not be true; its exception expired on 2026-01-01: ask shop"),
            "{output}"
        );
    }
    // A Kubernetes object in a file with this name is evaluated like any other.
    folder.file("policies.yaml", PRIVILEGED);
    assert!(text(&run(&["check", path]).stdout).contains("2 objects, 2 evaluated: 2 denied"));
    Ok(())
}

pub(crate) fn unused_exceptions_fail() -> Result<(), Failed> {
    let folder = Folder::new("unused");
    let pod = folder.file("pod.yaml", PRIVILEGED.replace("privileged: true", "privileged: false"));
    let config = folder.file("policies.yaml", EXCEPTING);
    let [path, pod, config] = [&folder.0, &pod, &config].map(|p| p.to_str().expect("a path is UTF-8"));
    for arguments in [&["check", path][..], &["check", "--config", config, pod]] {
        let output = run(arguments);
        expect(&output, 1)?;
        let output = text(&output.stderr);
        let wanted =
            "policies.yaml:5:3: unused exception of pod-security-standards (privileged) for shop Pod/web";
        assert!(output.contains(wanted), "{output}");
    }
    // If only a part of the manifests is checked, the exception may be needed for another part.
    let elsewhere = PRIVILEGED.replace("namespace: shop", "namespace: other").replace("true", "false");
    let other = folder.file("other.yaml", elsewhere);
    let other = other.to_str().ok_or("a path is UTF-8")?;
    expect(&run(&["check", "--config", config, other]), 0)?;
    Ok(())
}
