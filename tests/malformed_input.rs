//! Checks that malformed input never causes a panic, is never admitted by mistake, and is never ambiguous.

use std::fmt::Write as _;

use policy_catalog::POLICIES;
use policy_core::patch::{self, Edit};
use policy_core::path::Segment;
use policy_core::{
    AdmissionPhase, Arena, ConfiguredPolicy, FieldPath, Objects, Request, Review, Value, admit, yaml,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

/// All policies, with these settings for the Pod Security Standards.
fn policies(settings: &str) -> Vec<ConfiguredPolicy> {
    let configure = |entry: &policy_core::PolicyDefinition| {
        let settings = match entry.metadata.name {
            "pod-security-standards" => settings,
            "network-policy-required" => r#"{"dns":false}"#,
            _ => "",
        };
        let policy = (entry.configure)(settings).expect("the settings are valid");
        ConfiguredPolicy { metadata: entry.metadata, policy }
    };
    POLICIES.iter().map(configure).collect()
}

/// The response to these bytes: an error message, or whether the request is allowed.
fn answer(bytes: &[u8]) -> Result<bool, String> {
    answer_by(&policies(""), bytes)
}

/// A NetworkPolicy for the namespace of the good review that denies all traffic from and to its pods.
const DENIED_BY_DEFAULT: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"default-deny"},
"spec":{"podSelector":{},"policyTypes":["Ingress","Egress"]}}"#;

fn answer_by(policies: &[ConfiguredPolicy], bytes: &[u8]) -> Result<bool, String> {
    let arena = Arena::new();
    let review = Review::decode(bytes, &arena).map_err(|error| error.to_string())?;
    let cluster = Value::from_json(DENIED_BY_DEFAULT.as_bytes(), &arena).expect("it is JSON");
    let cluster = Objects::new(vec![cluster], "shop");
    let verdicts = admit(policies, &review.request, &cluster, AdmissionPhase::Mutating);
    for phase in [AdmissionPhase::Validating, AdmissionPhase::Mutating] {
        let answer: serde_json::Value =
            serde_json::from_str(&review.answer(&verdicts, phase)).expect("an answer is JSON");
        assert_eq!(answer["response"]["uid"], review.request.uid);
        assert_eq!(answer["response"]["allowed"], verdicts.allowed());
        let message = answer["response"]["status"]["message"].as_str().unwrap_or_default();
        assert_eq!(message.is_empty(), verdicts.allowed(), "a message if and only if denied");
        assert!(!message.contains(char::is_control), "a message is one line");
    }
    Ok(verdicts.allowed())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1000..1000i32).prop_map(|number| json!(f64::from(number) / 4.0)),
        ".{0,8}".prop_map(Into::into),
        Just(json!("Unconfined")),
        Just(json!(0)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map("[a-z]{0,3}|spec|type|name|containers", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

const GOOD: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",
"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},
"subResource":"","namespace":"shop","operation":"CREATE","dryRun":false,"object":{"metadata":{"name":"web",
"annotations":{"container.apparmor.security.beta.kubernetes.io/web":"runtime/default"}},"spec":{"os":{"name":"linux"},
"hostUsers":true,"hostNetwork":false,"securityContext":{"runAsNonRoot":true,"runAsUser":1,"seccompProfile":{"type":
"RuntimeDefault"},"sysctls":[{"name":"net.ipv4.tcp_syncookies","value":"1"}]},"volumes":[{"name":"t","emptyDir":{}}],
"initContainers":[{"name":"i","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}],
"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80}],"livenessProbe":{"httpGet":{"port":80}},
"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]},
"procMount":"Default","seLinuxOptions":{"type":"container_t"}}}]}},"oldObject":null}}"#;

/// Every location in a JSON value, as a JSON Pointer.
fn places(value: &serde_json::Value, at: String, all: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                places(member, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        serde_json::Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                places(item, format!("{at}/{i}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

#[test]
fn the_good_review_is_admitted() {
    assert_eq!(answer(GOOD.as_bytes()), Ok(true), "the tests below require this");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_error_or_an_answer(bytes in vec(any::<u8>(), 0..200)) {
        answer(&bytes).ok();
    }

    #[test]
    fn a_review_cut_short_or_with_one_byte_changed_is_an_error_or_an_answer(at in 0..GOOD.len(), byte: u8) {
        let mut bytes = GOOD.as_bytes().to_vec();
        prop_assert!(answer(&bytes[..at]).is_err());
        bytes[at] = byte;
        answer(&bytes).ok();
    }

    /// Replaces one value of a good review by any other: the result must be an error, a denial or an admission, never a panic.
    #[test]
    fn any_value_anywhere_is_an_error_or_an_answer(place: prop::sample::Index, value in any_json()) {
        let mut review: serde_json::Value = serde_json::from_str(GOOD).expect("it is JSON");
        let mut all = Vec::new();
        places(&review, String::new(), &mut all);
        *review.pointer_mut(place.get::<String>(&all)).expect("it is a place in it") = value;
        answer(review.to_string().as_bytes()).ok();
    }

    /// One privileged container is enough to deny a pod, regardless of its other fields.
    #[test]
    fn a_privileged_container_is_never_admitted(
        others in vec(any_json(), 0..3),
        list in prop::sample::select(vec!["initContainers", "containers", "ephemeralContainers"]),
        kind in prop::sample::select(vec!["Pod", "Deployment", "CronJob"]),
        mut spec in any_json(),
        extra in any_json(),
    ) {
        if !spec.is_object() {
            spec = json!({});
        }
        let mut containers = others;
        containers.push(json!({"name": "x", "extra": extra, "securityContext": {"privileged": true}}));
        spec[list] = containers.into();
        let object = match kind {
            "Deployment" => json!({"spec": {"template": {"spec": spec}}}),
            "CronJob" => json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
            _ => json!({"spec": spec}),
        };
        let mut review: serde_json::Value = serde_json::from_str(GOOD).expect("it is JSON");
        let group = match kind { "Deployment" => "apps", "CronJob" => "batch", _ => "" };
        review["request"]["kind"] = json!({"group": group, "version": "v1", "kind": kind});
        review["request"]["object"] = object;
        // Use this control alone, so that no other control causes the denial.
        let policies = policies(r#"{"controls":["privileged"]}"#);
        prop_assert_eq!(answer_by(&policies, review.to_string().as_bytes()), Ok(false));
    }

    /// JSON is also YAML, so both decoders must return the same value.
    #[test]
    fn json_means_the_same_as_yaml(value in any_json()) {
        let text = json!({ "k": value }).to_string();
        prop_assume!(!text.contains(char::is_control));
        let arena = Arena::new();
        let as_json = Value::from_json(text.as_bytes(), &arena).expect("it is JSON").to_string();
        let documents = yaml::documents(&text);
        let as_yaml = documents[0].decode(&arena).expect("it is YAML").expect("it is not empty").to_string();
        prop_assert_eq!(as_json, as_yaml);
    }

    #[test]
    fn any_text_is_an_error_or_documents(text in "\\PC{0,60}|[-:{}\\[\\]#&*!|>'\"%@` a\n\t?,]{0,60}") {
        for document in yaml::documents(&text) {
            let arena = Arena::new();
            let decoded = document.decode(&arena);
            let path = FieldPath(vec![Segment::Key("a".to_owned()), Segment::Index(0)]);
            let position = document.places().of(&path);
            prop_assert!(position.line >= 1 && position.column >= 1);
            if let Err(error) = decoded {
                prop_assert!(error.position.line <= text.matches('\n').count() + 2, "{}", error.position);
            }
        }
    }

    /// Splitting a stream at its markers must give the same documents as parsing the whole stream.
    #[test]
    fn a_stream_has_the_documents_that_its_parser_finds(lines in vec(prop::sample::select(vec![
        "---", "--- {a: 1}", "--- # c", "---x: 1", "...", "a: 1", "b: |", "  --- text", "  more", "# c", "", "- x", "'q'", "\t",
    ]), 0..12)) {
        let text: String = lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").expect("a string can be written to");
            text
        });
        let mut whole = 0;
        let mut depth = 0;
        let mut readable = true;
        for event in saphyr_parser::Parser::new_from_str(&text) {
            use saphyr_parser::Event;
            match event {
                Err(_) => { readable = false; break }
                Ok((Event::SequenceStart(..) | Event::MappingStart(..), _)) => { whole += usize::from(depth == 0); depth += 1 }
                Ok((Event::SequenceEnd | Event::MappingEnd, _)) => depth -= 1,
                Ok((Event::Scalar(text, ..), _)) => whole += usize::from(depth == 0 && !matches!(&*text, "" | "~")),
                Ok(_) => {}
            }
        }
        let arena = Arena::new();
        let split: Result<Vec<_>, _> = yaml::documents(&text).iter().map(|document| document.decode(&arena)).collect();
        match split {
            Ok(documents) if readable => prop_assert_eq!(documents.iter().flatten().count(), whole, "{}", text),
            // A repeated key is an error here, but not for the parser.
            Err(error) if readable => prop_assert!(error.reason.contains("duplicate key"), "{}: {}", error, text),
            _ => {}
        }
    }

    /// Another JSON Patch library must get the same result from our patch, for any object.
    #[test]
    fn other_libraries_apply_patches_with_the_same_result(
        object in btree_map("[a-c/~]{1,2}", any_json(), 0..4),
        edits in vec((vec("[a-c/~]{1,2}", 1..4), any_json(), any::<bool>()), 1..4),
    ) {
        let before = serde_json::Value::Object(object.into_iter().collect());
        let text = before.to_string();
        let arena = Arena::new();
        let value = Value::from_json(text.as_bytes(), &arena).expect("it is JSON");
        let edits: Vec<Edit> = edits.into_iter().map(|(keys, value, append)| {
            let path = FieldPath(keys.into_iter().map(Segment::Key).collect());
            let value = value.to_string();
            if append { Edit::Append { path, value } } else { Edit::Set { path, value } }
        }).collect();
        if let Ok(patched) = patch::apply(value, &edits, &arena) {
            let operations = patch::between(value, patched);
            let operations: json_patch::Patch = serde_json::from_value(json!(operations)).expect("it is a JSON Patch");
            let mut elsewhere = before;
            json_patch::patch(&mut elsewhere, &operations).expect("the patch applies");
            let here: serde_json::Value = serde_json::from_str(&patched.to_string()).expect("it is JSON");
            prop_assert_eq!(here, elsewhere);
        }
    }
}

/// A NetworkPolicy of the maximum size that an API server accepts. With a quadratic algorithm, this test would not finish.
#[test]
fn a_policy_of_a_hundred_thousand_parts_is_evaluated() {
    let arena = Arena::new();
    let ports: Vec<_> = (0..100_000).map(|i| json!({"port": 1 + i * 7 % 65_000})).collect();
    let blocks: Vec<_> = (0..50_000u32)
        .map(|i| json!({"ipBlock": {"cidr": format!("{}.{}.{}.0/25", 1 + i % 200, i / 200 % 250, i % 7)}}))
        .collect();
    let values: Vec<_> = (0..50_000).map(|i| json!(format!("v{i}"))).collect();
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "huge", "namespace": "shop"}, "spec": {
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": values}]},
            "egress": [{"to": blocks, "ports": ports}]}});
    let pods = (0..2000).map(|i| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("p{i}"), "namespace": "shop", "labels": {"app": format!("a{i}")}}})
    });
    let mut objects: Vec<_> = pods.map(|pod| Value::copy(pod, &arena).expect("it is JSON")).collect();
    let policy = Value::copy(policy, &arena).expect("it is JSON");
    objects.push(policy);
    let cluster = Objects::new(objects, "shop");
    let entry = policy_catalog::find("network-policy-required").expect("it exists");
    let policies =
        [ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)("").expect("defaults") }];
    let request = Request::create(policy_core::Field::root(policy, &arena), "shop").expect("it is an object");
    let verdicts = admit(&policies, &request, &cluster, AdmissionPhase::Validating);
    assert!(verdicts.allowed(), "{}", verdicts.message());
    assert!(verdicts.warnings().join("").contains("and 1990 more could no longer reach DNS over TCP"));
}

/// JSON allows a terminal control character anywhere in a string, but messages must not contain it.
#[test]
fn control_characters_are_removed_from_messages() {
    for at in 0..GOOD.len() {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes[at] = 0x7f;
        answer(&bytes).ok();
    }
}
