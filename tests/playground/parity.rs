//! The page and the commands `check` and `render` must agree on rows, findings, locations, errors, notes and changes.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use conformance::folder::Folder;
use conformance::{process, root, tools};
use policy_catalog::POLICIES;
use serde_json::{Map, Value, json};

/// Texts to evaluate in both, each with a description.
const TEXTS: &[(&str, &str)] = &[
    ("nothing", ""),
    ("invalid YAML", "a: [\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
    (
        "CRLF and letters beyond ASCII",
        "apiVersion: v1\r\nkind: Pod\r\nmetadata: {name: ä😀}\r\nspec: {x: 😀, hostPID: true, containers: [{name: c}]}\r\n",
    ),
    (
        "a List with an invalid object",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostPID: true, containers: [{name: c}]}}\n- {kind: Pod}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: b, namespace: n}\n  spec: {template: {spec: {hostNetwork: true, containers: [{name: c}]}}}\n",
    ),
    (
        "an invalid pod template",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\nspec:\n  template: 7\n",
    ),
    (
        "an AdmissionReview",
        "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {uid: x}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: {pratique.dev/inject-exporter: redis}}\nspec: {containers: [{name: c, image: redis}]}\n",
    ),
    (
        "a workload kind that no policy matches",
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {template: {spec: {containers: [{name: c, securityContext: {privileged: true}}]}}}\n",
    ),
    (
        "anchors, and a workload that is changed",
        "x: &x {containers: [{name: db, image: \"redis:8\"}]}\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: r}\nspec:\n  template:\n    metadata:\n      annotations: {pratique.dev/inject-exporter: redis}\n    spec: *x\n",
    ),
    (
        "two objects of one name, and a key twice",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true, hostPID: false}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
    ),
];

/// Compares every text, with all policies together and with each alone.
pub(crate) fn as_check_says() -> anyhow::Result<()> {
    let folder = Folder::new("same");
    let example = std::fs::read_to_string(root().join("policies/_playground/web/src/example.yaml"))?;
    let mut texts: Vec<(String, String)> =
        TEXTS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    texts.push(("the example".to_owned(), example));
    for environment in ["production", "staging"] {
        texts.push((environment.to_owned(), built(environment)?));
    }
    let all: Vec<&str> = POLICIES.iter().map(|entry| entry.metadata.name).collect();
    let choices = [all.as_slice()].into_iter().chain(all.iter().map(std::slice::from_ref));
    for choice in choices.collect::<Vec<_>>() {
        for (name, text) in &texts {
            let file = folder.file("text.yaml", text);
            let what = format!("{name}, with {}", choice.join(", "));
            let settings: Map<String, Value> =
                choice.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
            let options = json!({"namespace": "default", "policies": settings}).to_string();
            let page: Value = serde_json::from_str(&policy_playground::evaluate(text, &options))?;
            let policies = choice.iter().flat_map(|name| ["--policy", name]);
            let output = process::pratique()
                .args(["check", "--output", "json"])
                .args(policies.clone())
                .arg(&file)
                .stdin(Stdio::null())
                .output()?;
            let checked: Value = serde_json::from_slice(&output.stdout).with_context(|| what.clone())?;
            let rows = checked["verdicts"].as_array().context("rows")?;
            let wanted: Vec<Value> = rows.iter().map(of_check).collect();
            ensure!(
                of_page(&page) == wanted,
                "{what}: the page shows {:#?}\ncheck prints {wanted:#?}",
                of_page(&page)
            );
            // `check` prints `FILE:LINE:COLUMN: reason`; the page has the location in separate fields.
            let prefix = format!("{}:", file.display());
            let output = String::from_utf8_lossy(&output.stderr).into_owned();
            let lines = output.lines().filter_map(|line| line.split_once(&prefix).map(|(_, rest)| rest));
            let wanted: Vec<&str> = lines.collect();
            let errors = page["errors"].as_array().into_iter().flatten();
            let shown = errors.map(|error| {
                format!("{}:{}: {}", error["line"], error["column"], text_of(&error["message"]))
            });
            let shown: Vec<String> = shown.collect();
            for error in &shown {
                ensure!(
                    wanted.iter().any(|line| line.contains(error.as_str())),
                    "{what}: {error}, check prints {wanted:?}"
                );
            }
            let rendered = process::pratique().arg("render").args(policies).arg(&file).output()?;
            let notes = page["notes"].as_array().into_iter().flatten().map(text_of);
            // `render` reports changes that it cannot write.
            let (unwritten, notes): (Vec<&str>, Vec<&str>) =
                notes.partition(|note| note.starts_with("line "));
            for note in &unwritten {
                let reason = note.split_once(": ").map_or(*note, |(_, reason)| reason);
                let output = String::from_utf8_lossy(&rendered.stderr);
                ensure!(output.contains(reason), "{what}: {note}, render prints {output}");
            }
            for note in &notes {
                ensure!(output.contains(note), "{what}: {note}, check prints {output}");
            }
            ensure!(wanted.len() == shown.len() + notes.len(), "{what}: {shown:?}, check prints {wanted:?}");
            if rendered.status.success() {
                changes(text, &page, &String::from_utf8_lossy(&rendered.stdout)).with_context(|| what)?;
            }
        }
    }
    Ok(())
}

/// The fields of a row that `check` and the page have in common.
fn of_check(row: &Value) -> Value {
    let name = &row["object"];
    let slash = if name["namespace"] == "" { "" } else { "/" };
    let found =
        |key: &str| -> Vec<Value> { row[key].as_array().into_iter().flatten().map(finding).collect() };
    json!({
        "object": format!("{} {}{slash}{}", text_of(&name["kind"]), text_of(&name["namespace"]), text_of(&name["name"])),
        "policy": row["policy"], "outcome": row["outcome"], "of": row["of"],
        "denials": found("denials"), "warnings": found("warnings"),
    })
}

fn of_page(page: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for object in page["objects"].as_array().into_iter().flatten() {
        for row in object["results"].as_array().into_iter().flatten() {
            let found = |key: &str| -> Vec<Value> {
                row[key].as_array().into_iter().flatten().map(finding).collect()
            };
            rows.push(json!({
                "object": object["name"], "policy": row["policy"], "outcome": row["outcome"], "of": row["of"],
                "denials": found("denials"), "warnings": found("warnings"),
            }));
        }
    }
    rows
}

fn finding(found: &Value) -> Value {
    let control = found.get("control").cloned().unwrap_or_default();
    json!({"field": found["field"], "message": found["message"], "control": control, "line": found["line"],
        "column": found["column"]})
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Applies the changes on the page to the text and compares the result with the output of `render`.
fn changes(text: &str, page: &Value, rendered: &str) -> anyhow::Result<()> {
    let mut made = text.to_owned();
    for changed in page["changed"].as_array().into_iter().flatten() {
        let (before, after) = (text_of(&changed["before"]), text_of(&changed["after"]));
        ensure!(made.contains(before), "the text has the changed document");
        made = made.replacen(before, after, 1);
    }
    ensure!(page["summary"]["changesLeftOut"] == 0, "all changes are shown");
    ensure!(made == rendered, "the page changes it to {made}\nrender changes it to {rendered}");
    Ok(())
}

/// The rendered manifests of an environment.
fn built(environment: &str) -> anyhow::Result<String> {
    let kubectl = tools::find("kubectl", "install kubectl").map_err(anyhow::Error::msg)?;
    let folder = root().join("manifests/clusters").join(environment);
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
