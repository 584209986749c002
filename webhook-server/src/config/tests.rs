//! Tests of `policies.yaml`: valid files and their effect, and the errors of invalid files.

use policy_core::{AdmissionPhase, NoCluster, Objects, Request};
use serde_json::{Value as Json, json};

use policy_core::{Arena, Field, Value};

use super::*;

fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(text, Path::new("policies.yaml"))
}

/// Evaluates a pod with `hostNetwork` in the namespace `shop`: whether it is admitted, the warnings, the audit annotations,
/// and whether it is changed.
fn evaluated(
    config: &str,
    phase: AdmissionPhase,
    cluster: Option<Vec<Json>>,
) -> (bool, Vec<String>, Vec<String>, bool) {
    let config = parse(config).unwrap();
    let arena = Arena::new();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"hostNetwork": true, "containers": [
            {"name": "web", "ports": [{"name": "metrics", "containerPort": 9090}]}]}});
    let value = |object: Json| Value::copy(object, &arena).unwrap();
    let request = Request::create(Field::root(value(pod), &arena), "shop").unwrap();
    let objects = Objects::new(cluster.iter().flatten().cloned().map(value).collect(), "shop");
    let mut evaluated = match cluster {
        Some(_) => config.all().evaluate(&request, &objects, phase),
        None => config.all().evaluate(&request, &NoCluster, phase),
    };
    evaluated.keep(phase);
    let verdicts = &evaluated.verdicts;
    let audit = verdicts.audit().0.into_iter().map(|(policy, what)| format!("{policy}: {what}")).collect();
    (verdicts.allowed(), verdicts.warnings(), audit, verdicts.patched.is_some())
}

fn baseline(more: &str) -> String {
    format!("policies:\n- name: pod-security-standards\n  settings: {{level: baseline}}\n{more}")
}

const DENIAL: &str = "pod-security-standards: spec.hostNetwork: must not be true (hostNamespaces)";

#[test]
fn unenforced_denials_become_warnings_or_audit_notes() {
    assert!(!evaluated(&baseline("  mode: enforce"), AdmissionPhase::Validating, None).0);
    assert_eq!(
        evaluated(&baseline("  mode: warn"), AdmissionPhase::Validating, None),
        (true, vec![DENIAL.to_owned()], vec![], false)
    );
    let note = "pod-security-standards: would deny: spec.hostNetwork: must not be true (hostNamespaces)";
    assert_eq!(
        evaluated(&baseline("  mode: audit"), AdmissionPhase::Validating, None),
        (true, vec![], vec![note.to_owned()], false)
    );
}

#[test]
fn custom_pod_kinds_are_evaluated() {
    let outcome = |row: &str, group: &str, kind: &str| {
        let config = parse(&format!("podTemplates: [{row}]\n{}", baseline("")))?;
        let arena = Arena::new();
        let pod = json!({"hostNetwork": true, "containers": [{"name": "web"}]});
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": kind,
            "metadata": {"name": "web", "namespace": "shop"}, "spec": {"pods": {"spec": pod}, "template": {"spec": pod}}});
        let object = Value::copy(object, &arena).unwrap();
        let request = Request::create(Field::root(object, &arena), "shop").unwrap();
        let evaluated = config.all().evaluate(&request, &NoCluster, AdmissionPhase::Validating);
        let denials = evaluated.verdicts.rows.iter().flat_map(|row| &row.verdict.denials);
        anyhow::Ok(denials.map(|finding| finding.field.to_string()).collect::<Vec<String>>())
    };
    let field = |row: &str, group: &str, kind: &str| outcome(row, group, kind).unwrap();
    let row = "{group: shop.example, kind: Storefront, path: spec.pods}";
    assert_eq!(field(row, "shop.example", "Storefront"), ["spec.pods.spec.hostNetwork"]);
    assert_eq!(field(row, "other.example", "Storefront"), [""; 0]);
    // A row for a built-in kind has no effect if it agrees, and is an error if it contradicts.
    let rollout = "{group: argoproj.io, kind: Rollout, path: spec.template, scalable: true}";
    assert_eq!(field(rollout, "argoproj.io", "Rollout"), ["spec.template.spec.hostNetwork"]);
    let error = |row: &str| format!("{:#}", outcome(row, "x.example", "X").unwrap_err());
    assert_eq!(
        error("{group: apps, kind: Deployment, path: spec.pods}"),
        "policies.yaml: 1:16: podTemplates: path: `Deployment` of `apps` is built in, and its pod template is at `spec.template`: \
         remove the row"
    );
    assert_eq!(
        error("{group: x.example, kind: X}, {group: x.example, kind: X, path: spec.pods}"),
        "policies.yaml: 1:45: podTemplates: kind: `X` of `x.example` is listed twice"
    );
    assert_eq!(
        error("{group: x.example, kind: X, path: 'spec.pools[*].template'}"),
        "policies.yaml: 1:16: podTemplates: path: must be keys joined by dots, is `spec.pools[*].template`"
    );
    assert_eq!(
        error("{group: x.example, kind: ''}"),
        "policies.yaml: 1:16: podTemplates: kind: must not be empty"
    );
}

#[test]
fn unenforced_policies_do_not_mutate() {
    let labels = |mode: &str| format!("policies:\n- name: prometheus-labels\n  mode: {mode}\n");
    assert!(
        evaluated(&labels("enforce"), AdmissionPhase::Mutating, None).3,
        "the policy must change the pod if it is enforced"
    );
    let (allowed, warnings, _, changed) = evaluated(&labels("warn"), AdmissionPhase::Mutating, None);
    assert!(allowed && !changed);
    assert_eq!(warnings, ["prometheus-labels: would change the object if the policy were enforced"]);
    let (_, warnings, _, changed) = evaluated(&labels("audit"), AdmissionPhase::Mutating, None);
    assert!(!changed && warnings.is_empty());
    assert!(
        evaluated(&labels("warn"), AdmissionPhase::Validating, None).1.is_empty(),
        "only the mutating phase warns"
    );
}

/// An unenforced policy that would deny the object before and after a patch must not block the patch.
#[test]
fn unenforced_policies_do_not_block_patches() {
    let config = baseline("  mode: audit\n- name: prometheus-labels\n");
    assert!(evaluated(&config, AdmissionPhase::Mutating, None).3);
}

/// An excepted denial causes no warning, but a denial with an expired exception does.
#[test]
fn exceptions_hold_in_every_mode() {
    let exception = |expires: &str| {
        format!(
            "  mode: warn\nexceptions:\n- policy: pod-security-standards\n  control: hostNamespaces\n  namespace: shop\n  \
             workload: Pod/web\n  reason: r\n  owner: o\n  expires: {expires}\n"
        )
    };
    assert!(evaluated(&baseline(&exception("2999-01-01")), AdmissionPhase::Validating, None).1.is_empty());
    let warnings = evaluated(&baseline(&exception("2020-01-01")), AdmissionPhase::Validating, None).1;
    assert!(
        warnings[0].ends_with("its exception expired on 2020-01-01: ask o (hostNamespaces)"),
        "{warnings:?}"
    );
}

#[test]
fn a_policy_runs_where_its_selector_matches_the_namespace() {
    let by_name = |operator: &str| {
        baseline(&format!(
            "  namespaceSelector: {{matchExpressions: [{{key: kubernetes.io/metadata.name, operator: {operator}, values: [shop]}}]}}"
        ))
    };
    assert!(!evaluated(&by_name("In"), AdmissionPhase::Validating, None).0);
    assert!(
        evaluated(&by_name("NotIn"), AdmissionPhase::Validating, None).0,
        "a selector for the name needs no cluster data"
    );
    let opted_in = baseline("  namespaceSelector: {matchLabels: {pratique.dev/evaluated: 'true'}}");
    let namespace = |labels: Json| {
        vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})]
    };
    assert!(evaluated(&opted_in, AdmissionPhase::Validating, Some(namespace(json!({})))).0);
    assert!(
        !evaluated(
            &opted_in,
            AdmissionPhase::Validating,
            Some(namespace(json!({"pratique.dev/evaluated": "true"})))
        )
        .0
    );
    // A name label with a wrong value is ignored.
    let lying =
        Some(namespace(json!({"kubernetes.io/metadata.name": "other", "pratique.dev/evaluated": "true"})));
    assert!(!evaluated(&by_name("In"), AdmissionPhase::Validating, lying).0);
    assert!(
        !evaluated(&opted_in, AdmissionPhase::Validating, Some(vec![])).0,
        "an unknown namespace must not skip the policy"
    );
    assert!(!evaluated(&opted_in, AdmissionPhase::Validating, None).0);
    let reads = |config: &str| parse(config).unwrap().reads();
    assert!(reads(&opted_in).contains(&WatchedKind::NAMESPACE));
    assert!(!reads(&by_name("In")).contains(&WatchedKind::NAMESPACE));
}

#[test]
fn config_errors_have_a_line() {
    for (more, message) in [
        (
            "  mode: Enforce\n",
            "policies.yaml: 4:3: mode: unknown variant `Enforce`, expected one of `enforce`, `warn`, `audit`",
        ),
        ("  mod: warn\n", "policies.yaml: 4:3: mod: unknown field `mod`"),
        (
            "  namespaceSelector: {matchLabel: {a: b}}\n",
            "policies.yaml: 4:3: namespaceSelector: matchLabel: must not be set",
        ),
        (
            "  namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}\n",
            "policies.yaml: 4:3: namespaceSelector: matchExpressions[0].operator: must be",
        ),
        ("  mode:\n", "policies.yaml: 4:3: mode: must be"),
        ("  namespaceSelector: [a]\n", "policies.yaml: 4:3: namespaceSelector: must be an object, is a list"),
    ] {
        let error = format!("{:#}", parse(&baseline(more)).err().unwrap());
        assert!(error.starts_with(message), "{error}\n{message}");
    }
}

/// For manifests, policies in mode `audit` warn.
#[test]
fn audit_mode_warns_in_check() {
    let folder = std::env::temp_dir().join(format!("pratique-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("policies.yaml"), baseline("  mode: audit\n")).unwrap();
    let config = Config::load_for(&Selection::default(), std::slice::from_ref(&folder)).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(config.unenforced.iter().map(|unenforced| unenforced.mode).collect::<Vec<_>>(), [Mode::Warn]);
    assert!(config.policies.is_empty() && config.is_from_checked_directory);
}
