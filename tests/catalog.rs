//! Checks that the policies, their folders and their cases follow the design.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conformance::{cases, root};
use policy_catalog::POLICIES;
use policy_core::path::Segment;
use policy_core::{Arena, Case, Outcome, case};
use policy_kubernetes::exporters::{EXPORTERS, Exporter};
use serde_json::Value;

#[test]
fn names_are_sorted_and_plain() {
    let names: Vec<&str> = POLICIES.iter().map(|entry| entry.metadata.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    for name in names {
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
            "{name}: must contain only lower-case letters and dashes"
        );
        assert!(!name.ends_with("-policy"), "{name}: must not end with `-policy`");
    }
}

#[test]
fn every_folder_is_a_policy_and_every_policy_a_folder() {
    let folders: BTreeSet<String> = list(&root().join("policies"))
        .into_iter()
        .filter(|path| path.is_dir())
        .map(|path| file_name(&path))
        .filter(|name| !name.starts_with('_'))
        .collect();
    let names: BTreeSet<String> = POLICIES.iter().map(|entry| entry.metadata.name.to_owned()).collect();
    assert_eq!(folders, names);
}

#[test]
fn every_policy_is_described() {
    for entry in POLICIES {
        let metadata = entry.metadata;
        let name = metadata.name;
        assert!(
            metadata.source.starts_with("https://"),
            "{}: source: must be the URL of a specification",
            metadata.name
        );
        for (what, text) in [("summary", metadata.summary), ("remediation", metadata.remediation)] {
            assert!(
                text.ends_with('.') && text.len() > 20,
                "{name}: the {what} must be a sentence: `{text}`"
            );
        }
        assert!(!metadata.title.is_empty(), "{name}: must have a title");
        for control in metadata.controls {
            for (what, text) in [("title", control.title), ("remediation", control.remediation)] {
                assert!(
                    text.ends_with('.'),
                    "{name}: the {what} of {} must be a sentence: `{text}`",
                    control.id
                );
            }
            let replaced = control.replaces.is_none_or(|id| metadata.control(id).is_some());
            assert!(replaced, "{name}: `replaces` of {} must be a control", control.id);
        }
        assert_eq!(
            entry.has_setting("exemptControls"),
            !metadata.controls.is_empty(),
            "{name}: must have the setting exemptControls if and only if it has controls"
        );
        let makes_pods = policy_kubernetes::scopes::includes_workloads(&metadata.scope);
        assert!(
            !makes_pods || entry.has_setting("podTemplates"),
            "{name}: must have the setting podTemplates"
        );
        let schema = (entry.schema)().to_value();
        let docs = schema["description"].as_str().unwrap_or_default();
        let what = if metadata.mutates { "## What it changes" } else { "## What it denies" };
        for section in [what, "## Why"] {
            let body = docs.split(section).nth(1).unwrap_or_default();
            assert!(
                body.trim().len() > 80,
                "{name}: the doc comment of its settings must have a section `{section}`"
            );
        }
        assert_eq!(schema["additionalProperties"], Value::Bool(false), "{name}: deny_unknown_fields");
        for (setting, property) in schema["properties"].as_object().into_iter().flatten() {
            let docs = property["description"].as_str().unwrap_or_default();
            assert!(docs.ends_with('.'), "{name}: setting `{setting}` must be documented");
        }
    }
}

#[test]
fn every_case_says_why() {
    for file in cases::all() {
        let arena = Arena::new();
        let case =
            Case::decode(&file.text, &arena).unwrap_or_else(|e| panic!("{}: {e}", file.path.display()));
        assert!(
            case.why.ends_with('.'),
            "{}: must start with a comment that is a sentence",
            file.path.display()
        );
        assert!(
            case.policy.is_none(),
            "{}: must not name its policy, which is known from the folder",
            file.path.display()
        );
    }
}

/// The outcomes, kinds and container lists that the cases of a policy cover.
#[derive(Default)]
struct CaseCoverage {
    outcomes: BTreeSet<Outcome>,
    kinds: BTreeMap<Outcome, BTreeSet<String>>,
    /// For each control, the container lists in which it denies something in a case.
    lists: BTreeMap<String, BTreeSet<String>>,
}

fn shown(entry: &'static policy_core::PolicyDefinition) -> CaseCoverage {
    let mut shown = CaseCoverage::default();
    for file in cases::of(entry) {
        let arena = Arena::new();
        let case = Case::decode(&file.text, &arena).expect("it is decoded elsewhere");
        let verdicts = case.run(entry, &arena).expect("it is run elsewhere");
        let outcome = case::outcome(&verdicts);
        shown.outcomes.insert(outcome);
        let kind = case.request.get("kind").and_then(|kind| kind.get("kind")).map(ToString::to_string);
        shown.kinds.entry(outcome).or_default().insert(kind.unwrap_or_default().trim_matches('"').to_owned());
        // An undecided verdict does not show which fields the policy reads.
        let decided = verdicts.rows.iter().filter(|row| !row.verdict.undecided);
        for denial in decided.flat_map(|row| &row.verdict.denials) {
            let list = denial.field.0.iter().find_map(|segment| match segment {
                Segment::Key(key) if key.to_lowercase().ends_with("containers") => Some(key.clone()),
                _ => None,
            });
            if let Some(list) = list {
                let control = denial.control.unwrap_or(entry.metadata.name);
                shown.lists.entry(control.to_owned()).or_default().insert(list);
            }
        }
    }
    shown
}

#[test]
fn every_policy_is_shown_to_allow_and_to_deny_or_patch() {
    for entry in POLICIES {
        let outcomes = shown(entry).outcomes;
        assert!(outcomes.contains(&Outcome::Allow), "{}: needs an allow case", entry.metadata.name);
        let metadata = entry.metadata;
        assert!(
            !metadata.denies || outcomes.contains(&Outcome::Deny),
            "{}: needs a deny case",
            metadata.name
        );
        assert!(
            !metadata.mutates || outcomes.contains(&Outcome::Patch),
            "{}: needs a patch case",
            metadata.name
        );
        assert!(metadata.denies || metadata.mutates, "{}: must deny or mutate", metadata.name);
    }
}

#[test]
fn every_kind_of_a_scope_is_shown() {
    for entry in POLICIES {
        let shown = shown(entry);
        for resource in entry.metadata.scope.resources {
            for outcome in
                [Outcome::Allow, if entry.metadata.mutates { Outcome::Patch } else { Outcome::Deny }]
            {
                let kinds = shown.kinds.get(&outcome).cloned().unwrap_or_default();
                let (name, kind) = (entry.metadata.name, resource.kind);
                assert!(kinds.contains(kind), "{name}: needs a {} case of a {kind}", outcome.as_str());
            }
        }
    }
}

/// A control that reads containers must read all three lists. Other tools are known to miss some of them.
#[test]
fn every_control_that_reads_containers_is_shown_in_all_three_lists() {
    for entry in POLICIES {
        for (control, lists) in shown(entry).lists {
            for list in ["initContainers", "containers", "ephemeralContainers"] {
                assert!(
                    lists.contains(list),
                    "{}: needs a case in which {control} denies {list}",
                    entry.metadata.name
                );
            }
        }
    }
}

#[test]
fn every_control_of_the_pod_security_standards_is_shown_to_deny() {
    let denied: BTreeSet<String> = POLICIES
        .iter()
        .flat_map(|entry| cases::of(entry).into_iter().map(move |file| (entry, file)))
        .flat_map(|(entry, file)| {
            let arena = Arena::new();
            let case = Case::decode(&file.text, &arena).expect("it is decoded elsewhere");
            let verdicts = case.run(entry, &arena).expect("it is run elsewhere");
            let denials = verdicts.rows.iter().flat_map(|row| &row.verdict.denials);
            denials.filter_map(|denial| denial.control.map(str::to_owned)).collect::<Vec<_>>()
        })
        .collect();
    let entry = policy_catalog::find("pod-security-standards").expect("it is in the catalog");
    let ids = entry.metadata.controls;
    assert!(!ids.is_empty(), "the policy has controls");
    for id in ids {
        assert!(denied.contains(id.id), "no case in which {} denies", id.id);
    }
}

/// Every exporter has a case for each way to inject it, and `prometheus-labels` knows the port that it adds.
#[test]
fn every_exporter_is_shown() {
    let page = policy_catalog::find("exporter-sidecar").expect("it is in the catalog");
    let labels = policy_catalog::find("prometheus-labels").expect("it is in the catalog");
    let files = cases::of(page);
    for Exporter { name: exporter, series, .. } in EXPORTERS {
        assert!(!series.is_empty(), "{exporter}: must list its series");
        for kind in ["patch-", "patch-auto-", "patch-classic-"] {
            let name = format!("{kind}{exporter}");
            let file =
                files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no case {name}"));
            let arena = Arena::new();
            let case = Case::decode(&file.text, &arena).expect("it is decoded elsewhere");
            let patched =
                case.run(page, &arena).expect("it is run elsewhere").patched.expect("it is patched");
            let pod: Value = serde_json::to_value(patched).expect("it is JSON");
            let lists = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
            let mut containers = lists.into_iter().flat_map(|list| list.as_array().into_iter().flatten());
            let added =
                containers.find(|c| c["name"] == format!("{exporter}-exporter")).expect("it is added");
            let port = &added["ports"][0]["containerPort"];
            let text = format!(
                "object: {{apiVersion: v1, kind: Pod, spec: {{containers: [{{name: c, ports: [{{containerPort: {port}}}]}}]}}}}"
            );
            let arena = Arena::new();
            let case = Case::decode(&text, &arena).expect("it is a case");
            let verdicts = case.run(labels, &arena).expect("it runs");
            assert!(verdicts.patched.is_some(), "prometheus-labels does not know port {port} of {exporter}");
        }
    }
}

#[test]
fn every_source_file_opens_with_a_sentence() {
    let mut sources = Vec::new();
    for folder in ["policies", "webhook-server", "tests"] {
        walk(&root().join(folder), &mut sources);
    }
    assert!(sources.len() > 40, "the walk finds the sources");
    for path in sources {
        let text = std::fs::read_to_string(&path).expect("a source can be read");
        assert!(text.starts_with("//! "), "{}: must start with a //! sentence", path.display());
    }
}

fn walk(folder: &Path, sources: &mut Vec<PathBuf>) {
    for path in list(folder) {
        if path.is_dir() && file_name(&path) != "target" {
            walk(&path, sources);
        } else if path.extension().is_some_and(|end| end == "rs") {
            sources.push(path);
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
