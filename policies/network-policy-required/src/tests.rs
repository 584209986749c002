//! Tests that cannot be case files: unavailable cluster data, invalid settings.

use policy_core::policy::configure;
use policy_core::{
    AdmissionPhase, Arena, Case, ConfiguredPolicy, Field, NoCluster, Objects, PolicyDefinition, Request,
    Value, admit,
};

use super::NetworkPolicyRequired;

const POD: &str = r#"
object:
  apiVersion: v1
  kind: Pod
  metadata: { name: web, namespace: shop }
  spec: { containers: [{ name: web, image: web }] }
"#;

const DELETED: &str = r#"
cluster:
- { apiVersion: v1, kind: Pod, metadata: { name: web, namespace: shop } }
request:
  operation: DELETE
  oldObject:
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: deny, namespace: shop }
    spec: { podSelector: {} }
"#;

fn message(case: &str) -> String {
    let arena = Arena::new();
    let case = Case::decode(case, &arena).unwrap();
    case.run(&PolicyDefinition::of::<NetworkPolicyRequired>(), &arena).unwrap().message()
}

#[test]
fn without_a_cluster_nothing_is_decided() {
    assert_eq!(
        message(POD),
        "network-policy-required: could not decide: needs the cluster's NetworkPolicy objects, and no cluster was given"
    );
}

#[test]
fn removal_needs_the_namespace() {
    assert_eq!(
        message(DELETED),
        "network-policy-required: could not decide: needs the Namespace `shop`, which does not exist"
    );
}

#[test]
fn a_removal_without_the_old_object_is_not_decided() {
    let arena = Arena::new();
    let decode = |text: &'static str| Field::root(Value::from_json(text.as_bytes(), &arena).unwrap(), &arena);
    let request = decode(
        r#"{"uid":"u","operation":"DELETE","namespace":"shop","name":"deny",
            "kind":{"group":"networking.k8s.io","version":"v1","kind":"NetworkPolicy"}}"#,
    );
    let request = Request::read(request).unwrap();
    let policies = [ConfiguredPolicy {
        metadata: PolicyDefinition::of::<NetworkPolicyRequired>().metadata,
        policy: Box::new(NetworkPolicyRequired::default()),
    }];
    for cluster in [&Objects::default() as &dyn policy_core::Cluster, &NoCluster] {
        let verdicts = admit(&policies, &request, cluster, AdmissionPhase::Validating);
        assert_eq!(
            verdicts.message(),
            "network-policy-required: could not decide: the request must include the old NetworkPolicy"
        );
    }
}

#[test]
fn invalid_settings_are_rejected() {
    for (settings, message) in [
        (r#"{"openPorts":[0]}"#, "openPorts: must be from 1 to 65535, is `0`"),
        (r#"{"dnsServer":{"port":0}}"#, "dnsServer: must have a namespace and a port"),
        (r#"{"dnsServer":{"labels":{"a":"-"}}}"#, "dnsServer: `-` is not a valid label value"),
        (r#"{"grace":"warn"}"#, "unknown variant `warn`, expected `none` or `warn-workload`"),
        (r#"{"isolate":[]}"#, "unknown field `isolate`"),
    ] {
        let error = configure::<NetworkPolicyRequired>(settings).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
