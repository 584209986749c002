//! Tests of how `check` evaluates documents, independent of the policies.

use policy_core::{Cluster, ConfiguredPolicy, Evaluate, Outcome, Verdict};
use policy_core::{Request, Undecided};

use super::*;
use crate::args::Selection;

fn report(text: &str) -> Report {
    let config = Config::load(&Selection::default(), false).unwrap();
    let source = Source::new("x.yaml", text);
    let mut report = Report::default();
    check(&source, &config, &Objects::default(), "default", &mut report);
    report
}

#[test]
fn lists_are_evaluated_item_by_item() {
    let pod =
        "metadata: {name: web}\n    spec: {containers: [{name: c, securityContext: {privileged: true}}]}";
    let list = |kind: &str, head: &str| format!("apiVersion: v1\nkind: {kind}\nitems:\n  - {head}{pod}\n");
    let whole = "apiVersion: v1\n    kind: Pod\n    ";
    for text in [list("List", whole), list("PodList", ""), list("ConfigMap", whole), list("Pod", whole)] {
        let report = report(&text);
        assert_eq!(report.errors, Vec::<String>::new());
        let denial =
            report.results().flat_map(|result| &result.denials).find(|d| d.control == Some("privileged"));
        let denial = denial.unwrap();
        assert_eq!(denial.field, "spec.containers[0].securityContext.privileged");
        let line = text.lines().position(|line| line.contains("privileged")).unwrap() + 1;
        assert_eq!(denial.line, line);
    }
}

/// `kubectl` treats any object with `items` as a list. Other clients go by the kind and ignore the unknown field.
#[test]
fn a_pod_does_not_hide_behind_items() {
    let pod = "apiVersion: v1\nkind: Pod\nspec: {hostNetwork: true, containers: [{name: c}]}\nitems: ";
    for items in ["[]", "[{apiVersion: v1, kind: ConfigMap}]", "{a: 1}", "null", "7"] {
        let report = report(&format!("{pod}{items}\n"));
        let denied =
            report.results().flat_map(|result| &result.denials).any(|d| d.field == "spec.hostNetwork");
        assert!(denied, "{items}");
    }
}

/// A policy that reads the cluster sees all given documents, in any order.
#[test]
fn other_documents_are_cluster_data() {
    struct WantsConfigMap;
    impl Evaluate for WantsConfigMap {
        fn evaluate(
            &self,
            request: &Request<'_>,
            cluster: &dyn Cluster,
            verdict: &mut Verdict,
        ) -> Result<(), Undecided> {
            let arena = request.object.arena();
            if cluster.list("", "ConfigMap", Some(request.namespace), arena)?.is_empty() {
                verdict.deny(request.object.at("metadata.namespace"), "must have a ConfigMap");
            }
            Ok(())
        }
    }
    const READS: &[WatchedKind] = &[WatchedKind::of("", "ConfigMap", &["data"])];
    let metadata = policy_catalog::POLICIES[0].metadata;
    let policies = vec![ConfiguredPolicy { metadata, policy: Box::new(WantsConfigMap) }];
    let config = Config::from(policies);
    let pod =
        |namespace: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}}}\n---\n");
    let config_map =
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {namespace: a}}\n";
    let sources = [Source::new("pods.yaml", pod("a") + &pod("b")), Source::new("maps.yaml", config_map)];
    let arena = Arena::new();
    let cluster = cluster(&sources, READS, &config, "default", &arena);
    let mut report = Report::default();
    check(&sources[0], &config, &cluster, "default", &mut report);
    let outcomes: Vec<Outcome> = report.results().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [Outcome::Allow, Outcome::Deny]);
    assert_eq!(report.results().nth(1).unwrap().source.line, 7);
}

#[test]
fn non_objects_are_errors_with_a_position() {
    let report = report("a: 1\n---\nkind: Pod\n---\n- x\n---\n# nothing\n");
    assert_eq!(
        report.errors,
        [
            "x.yaml:1:1: not a Kubernetes object: apiVersion: must be set",
            "x.yaml:3:1: not a Kubernetes object: apiVersion: must be set",
            "x.yaml:5:1: not a Kubernetes object: must be an object, is a list",
        ]
    );
}

#[test]
fn results_keep_the_order_of_the_file() {
    let text: String = (0..500)
        .map(|i| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{i}}}\nspec: {{containers: [{{name: c}}]}}\n"))
        .collect();
    let mut names: Vec<String> = report(&text).results().map(|result| result.object.name.clone()).collect();
    // Each object has a result for each policy.
    names.dedup();
    assert_eq!(names, (0..500).map(|i| format!("p{i}")).collect::<Vec<_>>());
}

#[test]
fn documents_are_decoded_in_the_order_of_their_sources() {
    let document = |name: String| format!("---\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let first: String = (0..200).map(|i| document(format!("a{i}"))).collect();
    let sources = [Source::new("a", first), Source::new("b", document("b".to_owned()) + "---\n{\n")];
    let mut arenas = decoded::arenas();
    let decoded = decoded::decode(&sources, &mut arenas);
    let name = |document: &DecodedDocument<'_>| match &document.value {
        DocumentValue::Now(Ok(Some(value))) => {
            value.get("metadata").and_then(|m| m.get("name")).map(ToString::to_string)
        }
        DocumentValue::Now(Err(error)) => Some(error.position.to_string()),
        _ => None,
    };
    let names: Vec<_> = decoded.iter().flat_map(|(_, documents)| documents).filter_map(name).collect();
    let expected: Vec<String> = (0..200).map(|i| format!("\"a{i}\"")).chain(["\"b\"".to_owned()]).collect();
    assert_eq!(names[..201], expected);
    assert_eq!(names.len(), 202, "the broken document must be an error");
}
