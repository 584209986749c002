//! Properties of the engine that do not depend on the policies.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::cluster::NoCluster;
use crate::metadata::{Category, Context, Severity};
use crate::policy::{Policy, PolicyDefinition};
use crate::scope::{CHANGES, Resource, Scope, Subresources};
use crate::value::Arena;

/// A test policy: each setting enables one change or one denial.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Toy {
    label: Option<String>,
    if_annotated: bool,
    annotate: bool,
    count: bool,
    deny_label: Option<String>,
    deny_items: bool,
    undecided: bool,
}

impl Policy for Toy {
    const METADATA: PolicyMetadata = PolicyMetadata {
        name: "toy",
        title: "Toy",
        summary: "Does what its settings enable.",
        remediation: "Change its settings.",
        source: "https://example.com/",
        severity: Severity::Low,
        scope: Scope {
            resources: &[Resource {
                subresources: Subresources::AllBut { known: &["ephemeralcontainers"], ignored: &["status"] },
                ..Resource::new("", "v1", "Pod", "pods", CHANGES)
            }],
        },
        reads: &[],
        context: Context::Object,
        category: Category::PodSecurity,
        controls: &[],
        mutates: true,
        denies: true,
    };
}

impl Evaluate for Toy {
    fn evaluate(
        &self,
        request: &Request<'_>,
        cluster: &dyn Cluster,
        verdict: &mut Verdict,
    ) -> Result<(), Undecided> {
        let labels = request.object.at("metadata.labels");
        let annotation = request.object.at("metadata.annotations.toy");
        if self.annotate {
            verdict.set(annotation, json!("yes"));
        }
        if let Some(label) = &self.label
            && (!self.if_annotated || annotation.is_set()?)
        {
            verdict.set(labels.at("toy"), json!(label));
        }
        if self.count {
            verdict.append(request.object.at("spec.list"), json!("again"));
        }
        if let Some(label) = &self.deny_label
            && labels.at("toy").str()? == Some(label)
        {
            verdict.deny(labels.at("toy"), format!("must not be `{label}`"));
        }
        if self.deny_items {
            for item in request.object.at("metadata.list").items()? {
                verdict.deny(item, "must go");
            }
        }
        if self.undecided {
            cluster.list("", "Namespace", None, request.object.arena())?;
        }
        Ok(())
    }
}

fn run(policies: &[&str], request: &str) -> (bool, String, String) {
    run_half(policies, request, AdmissionPhase::Mutating)
}

fn run_half(policies: &[&str], request: &str, phase: AdmissionPhase) -> (bool, String, String) {
    let arena = Arena::new();
    let policies: Vec<ConfiguredPolicy> = policies
        .iter()
        .map(|settings| ConfiguredPolicy {
            metadata: &Toy::METADATA,
            policy: (PolicyDefinition::of::<Toy>().configure)(settings).unwrap(),
        })
        .collect();
    let root = Field::root(Value::from_json(request.as_bytes(), &arena).unwrap(), &arena);
    let verdicts = admit(&policies, &Request::read(root).unwrap(), &NoCluster, phase);
    (verdicts.allowed(), verdicts.message(), serde_json::to_string(&verdicts.patch()).unwrap())
}

const CREATE: &str = r#"{"uid":"u","kind":{"version":"v1","kind":"Pod"},"operation":"CREATE","object":{"metadata":{"name":"web"}}}"#;

#[test]
fn a_patch_that_is_denied_is_a_fault_and_is_not_sent() {
    let policies = [r#"{"deny_label":"x"}"#, r#"{"label":"x"}"#];
    let (allowed, message, patch) = run(&policies, CREATE);
    assert!(!allowed);
    assert_eq!(message, "the patch would be denied: toy: metadata.labels.toy: must not be `x`");
    assert_eq!(patch, "[]");
    // A label of the original object is not the fault of the patch.
    let (allowed, message, _) = run(&policies, &CREATE.replace(r#""name":"web""#, r#""labels":{"toy":"x"}"#));
    assert_eq!((allowed, message.as_str()), (false, "toy: metadata.labels.toy: must not be `x`"));
}

#[test]
fn mutation_order_does_not_matter() {
    // One policy adds the annotation that the other waits for.
    let policies = [r#"{"label":"x","if_annotated":true}"#, r#"{"annotate":true}"#];
    let mut patches: Vec<String> = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let (allowed, message, patch) = run(&order.map(|i| policies[i]), CREATE);
        assert!(allowed, "{message}");
        patches.push(patch);
    }
    assert!(
        patches[0].contains("/metadata/annotations") && patches[0].contains("/metadata/labels"),
        "{patches:?}"
    );
    assert_eq!(patches[0].len(), patches[1].len());
}

#[test]
fn later_policies_see_earlier_patches() {
    let (allowed, _, patch) = run(&[r#"{"label":"x"}"#, r#"{"label":"x"}"#], CREATE);
    assert!(allowed);
    assert_eq!(patch, r#"[{"op":"add","path":"/metadata/labels","value":{"toy":"x"}}]"#);
}

#[test]
fn a_patch_that_never_settles_is_denied() {
    let (allowed, message, _) = run(&[r#"{"count":true}"#], CREATE);
    assert!(!allowed);
    assert!(message.contains("could not decide: the policy keeps changing its own patch"), "{message}");
}

#[test]
fn validation_evaluates_the_object_unchanged() {
    let labelled = CREATE.replace(r#""name":"web""#, r#""name":"web","labels":{"toy":"bad"}"#);
    let policies = [r#"{"label":"good"}"#, r#"{"deny_label":"bad"}"#];
    assert!(run_half(&policies, &labelled, AdmissionPhase::Mutating).0, "the patch fixes it");
    let (allowed, message, patch) = run_half(&policies, &labelled, AdmissionPhase::Validating);
    assert!(!allowed, "the validating phase does not patch");
    assert_eq!((message.as_str(), patch.as_str()), ("toy: metadata.labels.toy: must not be `bad`", "[]"));
}

#[test]
fn findings_above_the_limit_are_only_counted() {
    let list = vec![r#""x""#; 5000].join(",");
    let request = CREATE.replace(r#""name":"web""#, &format!(r#""name":"web","list":[{list}]"#));
    let (allowed, message, _) = run(&[r#"{"deny_items":true}"#], &request);
    assert!(!allowed && message.ends_with("; and 4000 more"), "{}", message.len());
    assert_eq!(message.matches("must go").count(), 1000);
}

#[test]
fn mutating_policies_warn_without_cluster_data() {
    let arena = Arena::new();
    let settings = r#"{"undecided":true,"label":"x"}"#;
    let policy = (PolicyDefinition::of::<Toy>().configure)(settings).unwrap();
    let root = Field::root(Value::from_json(CREATE.as_bytes(), &arena).unwrap(), &arena);
    let request = Request::read(root).unwrap();
    let verdicts = admit(
        &[ConfiguredPolicy { metadata: &Toy::METADATA, policy }],
        &request,
        &NoCluster,
        AdmissionPhase::Mutating,
    );
    assert!(verdicts.allowed() && verdicts.patched.is_none());
    assert_eq!(verdicts.audit().0, [("toy", "cluster-unknown")]);
    let reason = "changes nothing: needs the cluster's Namespace objects, and no cluster was given";
    assert_eq!(verdicts.warnings(), [format!("toy: {reason}")]);
    // A validating policy denies.
    static VALIDATING: PolicyMetadata = PolicyMetadata { mutates: false, ..Toy::METADATA };
    let policy = (PolicyDefinition::of::<Toy>().configure)(r#"{"undecided":true}"#).unwrap();
    let verdicts = admit(
        &[ConfiguredPolicy { metadata: &VALIDATING, policy }],
        &request,
        &NoCluster,
        AdmissionPhase::Mutating,
    );
    assert!(!verdicts.allowed());
    let reason = "could not decide: needs the cluster's Namespace objects, and no cluster was given";
    assert_eq!(verdicts.message(), format!("toy: {reason}"));
}

#[test]
fn mutation_without_an_object_is_denied() {
    let request = r#"{"uid":"u","kind":{"version":"v1","kind":"Pod"},"operation":"CREATE","object":null}"#;
    let (allowed, message, _) = run(&[r#"{"label":"x"}"#], request);
    assert!(!allowed);
    assert!(message.contains("the request has no object to change"), "{message}");
}

#[test]
fn deleted_objects_are_admitted_but_their_subresources_evaluated() {
    let update = |sub: &str, old: &str| {
        let request = format!(
            r#"{{"uid":"u","kind":{{"version":"v1","kind":"Pod"}},"operation":"UPDATE","subResource":"{sub}",
            "object":{{"metadata":{{"deletionTimestamp":"2026-01-01T00:00:00Z","labels":{{"toy":"x"}}}}}},"oldObject":{old}}}"#
        );
        run(&[r#"{"deny_label":"x"}"#], &request).0
    };
    let going = r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"toy":"x"}}}"#;
    assert!(update("", going));
    let relabelled = r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"toy":"y"}}}"#;
    assert!(!update("", relabelled), "other objects still select it by its labels");
    assert!(!update("ephemeralcontainers", going));
    assert!(!update("", r#"{"metadata":{}}"#), "only the deletion timestamp of the old object counts");
}

#[test]
fn settings_name_the_typo() {
    let error = |settings| (PolicyDefinition::of::<Toy>().configure)(settings).err().unwrap().to_string();
    assert!(
        error(r#"{"lable":"x"}"#)
            .starts_with("settings of toy: unknown field `lable`, expected one of `label`")
    );
    assert!(error("[").contains("EOF while parsing"));
    assert!((PolicyDefinition::of::<Toy>().configure)("null").is_ok());
    assert!((PolicyDefinition::of::<Toy>().configure)("").is_ok());
}
