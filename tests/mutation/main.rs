//! Checks properties of all mutating policies together, with generated pods.

mod pods;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use conformance::{cases, ignored, tools};
use libtest_mimic::{Arguments, Failed, Trial};
use policy_core::{AdmissionPhase, Arena, Case, ConfiguredPolicy, Field, Objects, Request, Value, admit};
use policy_kubernetes::pod::EXPORTER_STATUS;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value as Json, json};
use webhook_server::commands::check::check;
use webhook_server::commands::render::{RenderNotes, Renderer};
use webhook_server::config::Config as Policies;
use webhook_server::report::Report;
use webhook_server::sources::Source;

use pods::{MutationInput, input};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("the_patch_makes_the_patched_pod", || hold(applies)),
        Trial::test("a_second_time_changes_nothing", || hold(is_idempotent)),
        Trial::test("the_order_of_policies_does_not_matter", || hold(has_no_order)),
        Trial::test("what_was_restricted_stays_so", || hold(stays_restricted)),
        Trial::test("nothing_that_was_there_is_lost", || hold(keeps_everything)),
        Trial::test("what_is_rendered_is_left_alone", || hold(renders_and_rests)),
        Trial::test("something_is_changed_at_all", something_is_changed),
    ];
    match tools::find("json-patch", tools::HOW) {
        Ok(tool) => trials.push(Trial::test("patches_apply_as_in_an_api_server", move || api_server(&tool))),
        Err(reason) => trials.push(ignored("patches_apply_as_in_an_api_server", &reason)),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn hold(property: fn(&MutationInput) -> Result<(), TestCaseError>) -> Result<(), Failed> {
    // `just quick` sets fewer.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    Ok(TestRunner::new(config).run(&input(), |input| property(&input)).map_err(|error| error.to_string())?)
}

/// The result of running policies on a pod, in the given order.
struct MutationOutcome {
    allowed: bool,
    fault: Option<String>,
    patch: Vec<policy_core::patch::PatchOperation>,
    /// The pod afterwards, changed or not.
    pod: Json,
}

const MUTATING: &[&str] = &["exporter-sidecar", "prometheus-labels"];

fn ask(input: &MutationInput, policies: &[&str], pod: &Json) -> MutationOutcome {
    let arena = Arena::new();
    let copy = |json: &Json| Value::copy(json.clone(), &arena).expect("it is JSON");
    let configure = |name: &&str| {
        let entry = policy_catalog::find(name).expect("it is in the catalog");
        let settings = match *name {
            "exporter-sidecar" => input.exporter.to_string(),
            "prometheus-labels" => input.labels.to_string(),
            _ => String::new(),
        };
        ConfiguredPolicy {
            metadata: entry.metadata,
            policy: (entry.configure)(&settings).expect("settings are right"),
        }
    };
    let policies: Vec<ConfiguredPolicy> = policies.iter().map(configure).collect();
    let cluster = Objects::new(input.cluster.iter().map(copy).collect(), "default");
    let request = Request::create(Field::root(copy(pod), &arena), "default").expect("it is an object");
    let verdicts = admit(&policies, &request, &cluster, AdmissionPhase::Mutating);
    let patched = verdicts.patched.map(|value| serde_json::to_value(value).expect("it is JSON"));
    MutationOutcome {
        allowed: verdicts.allowed(),
        fault: verdicts.fault.clone(),
        patch: verdicts.patch().into_iter().map(policy_core::patch::PatchOperation::owned).collect(),
        pod: patched.unwrap_or_else(|| pod.clone()),
    }
}

fn applies(input: &MutationInput) -> Result<(), TestCaseError> {
    let answer = ask(input, MUTATING, &input.pod);
    let patch: json_patch::Patch = serde_json::from_value(json!(answer.patch)).expect("it is a JSON Patch");
    let mut pod = input.pod.clone();
    json_patch::patch(&mut pod, &patch).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(pod, answer.pod);
    Ok(())
}

fn is_idempotent(input: &MutationInput) -> Result<(), TestCaseError> {
    let first = ask(input, MUTATING, &input.pod);
    let second = ask(input, MUTATING, &first.pod);
    prop_assert_eq!(second.fault, None);
    prop_assert!(second.patch.is_empty(), "{:?}", second.patch);
    Ok(())
}

fn has_no_order(input: &MutationInput) -> Result<(), TestCaseError> {
    let there = ask(input, MUTATING, &input.pod);
    let back = ask(input, &[MUTATING[1], MUTATING[0]], &input.pod);
    prop_assert_eq!((there.allowed, there.pod), (back.allowed, back.pod));
    Ok(())
}

fn stays_restricted(input: &MutationInput) -> Result<(), TestCaseError> {
    const RESTRICTED: &[&str] = &["pod-security-standards"];
    let all = [MUTATING, RESTRICTED].concat();
    let answer = ask(input, &all, &input.pod);
    prop_assert_eq!(&answer.fault, &None);
    let before = ask(input, RESTRICTED, &input.pod).allowed;
    prop_assert!(before || input.pod["spec"]["hostNetwork"] == true, "most pods are compliant");
    if before {
        prop_assert!(ask(input, RESTRICTED, &answer.pod).allowed, "{}", answer.pod);
    }
    Ok(())
}

fn keeps_everything(input: &MutationInput) -> Result<(), TestCaseError> {
    let answer = ask(input, MUTATING, &input.pod);
    let mut before = input.pod.clone();
    // Only the policy sets this annotation, so a value from the user may be replaced.
    if let Some(annotations) = before["metadata"]["annotations"].as_object_mut() {
        annotations.remove(EXPORTER_STATUS);
    }
    kept(&before, &answer.pod, "")
}

/// Checks that members and items are not lost or moved. Only nulls may have become values.
fn kept(before: &Json, after: &Json, at: &str) -> Result<(), TestCaseError> {
    match (before, after) {
        (Json::Object(before), Json::Object(after)) => {
            for (key, value) in before {
                kept(value, after.get(key).unwrap_or(&Json::Null), &format!("{at}/{key}"))?;
            }
        }
        (Json::Array(before), Json::Array(after)) => {
            for (i, value) in before.iter().enumerate() {
                kept(value, after.get(i).unwrap_or(&Json::Null), &format!("{at}/{i}"))?;
            }
        }
        (Json::Null, _) => {}
        (before, after) => prop_assert_eq!(before, after, "{}", at),
    }
    Ok(())
}

fn renders_and_rests(input: &MutationInput) -> Result<(), TestCaseError> {
    let mut template = input.pod.clone();
    let template = template.as_object_mut().expect("a pod is an object");
    template.retain(|key, _| key == "metadata" || key == "spec");
    // Templates of Jobs often have no metadata at all.
    let has_annotations = input.pod["metadata"]["annotations"].is_object();
    if !has_annotations && !input.pod["metadata"]["labels"].is_object() {
        template.remove("metadata");
    }
    let metadata = json!({"name": "db", "namespace": "data"});
    let workloads = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata,
            "spec": {"jobTemplate": {"spec": {"template": template}}}}),
    ];
    let settings = json!({"policies": [
        {"name": "exporter-sidecar", "settings": input.exporter},
        {"name": "prometheus-labels", "settings": input.labels},
    ]});
    let config =
        Policies::parse(&settings.to_string(), Path::new("policies.yaml")).expect("settings are right");
    let arena = Arena::new();
    let objects = input.cluster.iter().map(|object| Value::copy(object.clone(), &arena).expect("it is JSON"));
    let cluster = Objects::new(objects.collect(), "default");
    let renderer = Renderer { config: &config, cluster: &cluster, namespace: "default" };
    let texts = workloads.iter().flat_map(|workload| [workload.to_string(), block(workload, 0)]);
    for text in texts {
        let mut notes = RenderNotes::default();
        let rendered = renderer.source(&Source::new("x.yaml", text), &mut notes);
        prop_assert!(notes.unreadable.is_empty(), "{:?}", notes.unreadable);
        if !notes.denied.is_empty() {
            continue;
        }
        let again = renderer.source(&Source::new("x.yaml", rendered.clone()), &mut notes);
        prop_assert_eq!(&again, &rendered);
        let mut report = Report::default();
        check(&Source::new("x.yaml", rendered), &config, &cluster, "default", &mut report);
        prop_assert!(
            report.results().all(|result| result.patch.is_empty()),
            "check would still patch the object"
        );
        prop_assert!(notes.denied.is_empty(), "{:?}", notes.denied);
    }
    Ok(())
}

/// JSON as YAML in block style, with a comment after every scalar.
fn block(value: &Json, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let nested = |value: &Json| {
        matches!(value, Json::Object(m) if !m.is_empty()) || matches!(value, Json::Array(l) if !l.is_empty())
    };
    match value {
        Json::Object(members) => members
            .iter()
            .map(|(key, value)| match nested(value) {
                true => format!("{pad}{}:\n{}", json!(key), block(value, indent + 2)),
                false => format!("{pad}{}: {value} # {key}\n", json!(key)),
            })
            .collect(),
        Json::Array(items) => items
            .iter()
            .map(|item| match nested(item) {
                true => format!("{pad}- {}", block(item, indent + 2).trim_start()),
                false => format!("{pad}- {item}\n"),
            })
            .collect(),
        value => format!("{pad}{value}\n"),
    }
}

/// The generator must produce enough pods that are patched, injected and denied.
fn something_is_changed() -> Result<(), Failed> {
    let mut runner = TestRunner::deterministic();
    let (mut patched, mut injected, mut denied) = (0, 0, 0);
    for _ in 0..1000 {
        let input = input().new_tree(&mut runner)?.current();
        let answer = ask(&input, MUTATING, &input.pod);
        patched += usize::from(!answer.patch.is_empty());
        injected += usize::from(
            answer.patch.iter().any(|operation| operation.value.to_string().contains("-exporter:")),
        );
        denied += usize::from(!answer.allowed);
    }
    assert!(
        patched > 300 && injected > 100 && (50..700).contains(&denied),
        "{patched}, {injected}, {denied}"
    );
    Ok(())
}

/// Applies the patches of all cases with the JSON Patch library of the API server.
fn api_server(tool: &Path) -> Result<(), Failed> {
    let (mut input, mut wanted) = (String::new(), Vec::new());
    for file in cases::all() {
        let arena = Arena::new();
        let case = Case::decode(&file.text, &arena)?;
        let verdicts = case.run(file.entry, &arena)?;
        let Some(patched) = verdicts.patched else { continue };
        let object = case.request.get("object").map(serde_json::to_value).transpose()?;
        input.push_str(&json!({"object": object, "patch": verdicts.patch()}).to_string());
        input.push('\n');
        wanted.push((file.name, serde_json::to_value(patched)?));
    }
    assert!(wanted.len() > 100, "{} patches", wanted.len());
    let mut child = Command::new(tool).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("it reads")?;
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    assert!(output.status.success(), "the tool refused a patch");
    let answers = String::from_utf8(output.stdout)?;
    assert_eq!(answers.lines().count(), wanted.len());
    for (answer, (name, wanted)) in answers.lines().zip(wanted) {
        assert_eq!(serde_json::from_str::<Json>(answer)?, wanted, "{name}");
    }
    Ok(())
}
