//! A report has a maximum size, and denials take precedence.

use serde_json::Value;

use crate::evaluate;

const ASKED: &str =
    r#"{"namespace":"default","policies":{"pod-security-standards":{},"exporter-sidecar":{}}}"#;
const BAD: &str =
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {hostPID: true, containers: [{name: c}]}\n";

fn report(text: &str, options: &str) -> Value {
    serde_json::from_str(&evaluate(text, options)).expect("the report is JSON")
}

#[test]
fn denials_are_shown_first() {
    let quiet = |i: usize| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}}}\n");
    let text: String = (0..600).map(quiet).chain([BAD.to_owned()]).collect();
    let report = report(&text, ASKED);
    let objects = report["objects"].as_array().expect("they are a list");
    assert_eq!(objects.last().expect("there are some")["outcome"], "deny");
    assert_eq!(
        (report["summary"]["objects"].as_u64(), report["summary"]["objectsLeftOut"].as_u64()),
        (Some(601), Some(100))
    );
    assert_eq!(
        (report["summary"]["evaluated"].as_u64(), report["summary"]["findingsLeftOut"].as_u64()),
        (Some(1), Some(0))
    );
}

#[test]
fn omitted_findings_are_counted() {
    let report = report(&BAD.repeat(1000), ASKED);
    let shown = report["objects"].as_array().expect("they are a list").iter();
    let shown = shown.flat_map(|object| object["results"].as_array().expect("results"));
    let shown: usize = shown.map(|row| row["denials"].as_array().expect("denials").len()).sum();
    let of = |key: &str| report["summary"][key].as_u64().expect("a number") as usize;
    assert_eq!(shown + of("findingsLeftOut"), of("denials") + of("warnings"));
    assert_eq!(of("objects"), 1000);
    assert!(of("objectsLeftOut") == 800 && shown <= 500, "{report}");
}

#[test]
fn the_number_of_shown_changes_is_limited() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: c, annotations: {pratique.dev/inject-exporter: redis}}\nspec:\n  containers:\n  - {name: redis, image: \"redis:8\"}\n";
    let report = report(&pod.repeat(100), ASKED);
    let changed = report["changed"].as_array().expect("they are a list").len();
    assert_eq!(changed + report["summary"]["changesLeftOut"].as_u64().expect("a number") as usize, 100);
    assert!(changed < 100 && report["summary"]["changed"] == 100);
}

#[test]
fn a_case_has_its_source_location() {
    let error = |text: &str| {
        let report = report(text, ASKED);
        (
            report["errors"][0]["line"].as_u64(),
            report["errors"][0]["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let object = "object: {apiVersion: v1, kind: Pod, metadata: {name: x}}\n";
    let (line, message) = error(&format!("{object}request:\n  operation: FOO\n"));
    assert!(
        line == Some(3) && message.starts_with("request.operation: must be CREATE"),
        "{line:?} {message}"
    );
    let (line, message) = error(&format!("policy: nope\n{object}"));
    assert!(line == Some(1) && message.contains("`nope`"), "{line:?} {message}");
    // If a case names a policy without settings, the settings of the form apply.
    let text = format!(
        "policy: pod-security-standards\nobject:{}",
        BAD.trim_start_matches("---").replace('\n', "\n  ")
    );
    let privileged =
        r#"{"namespace":"default","policies":{"pod-security-standards":{"level":"privileged"}}}"#;
    assert_eq!(
        (report(&text, privileged)["outcome"].as_str(), report(&text, ASKED)["outcome"].as_str()),
        (Some("allow"), Some("deny"))
    );
}

#[test]
fn a_query_is_parsed_or_rejected() {
    let of = |options: &str| report(BAD, options);
    assert_eq!(of("{").get("outcome"), Some(&Value::Null));
    assert!(of("{").to_string().contains("cannot read the options"));
    assert!(of(r#"{"namespace":"x","policies":{"nope":{}}}"#).to_string().contains("unknown policy `nope`"));
    let wrong = of(r#"{"namespace":"x","policies":{"pod-security-standards":{"level":7}}}"#);
    assert!(
        wrong["settings"]["pod-security-standards"]
            .as_str()
            .is_some_and(|reason| reason.contains("must be a string")),
        "{wrong}"
    );
    let nobody = of(r#"{"namespace":"x","policies":{}}"#);
    assert_eq!((&nobody["outcome"], nobody["summary"]["objects"].as_u64()), (&Value::Null, Some(1)));
}
