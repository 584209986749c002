//! The rendered manifest sets of the environments, and functions to find objects in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use conformance::root;
use policy_core::{AdmissionPhase, Arena, Field, NoCluster, Request, admit};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::pods_of;
use serde_json::Value;
use webhook_server::config::Config;
use webhook_server::sources::Input;

/// The rendered objects of an environment.
pub(crate) struct EnvironmentSet {
    /// `production`, `staging`, or the name of a variant.
    pub(crate) name: &'static str,
    /// The objects.
    pub(crate) objects: Vec<Value>,
    /// The pods of the workloads after admission, by the index of the workload.
    pods: BTreeMap<usize, Value>,
}

/// The environments, and production with the other log collector.
const SETS: [&str; 3] = ["production", "staging", "promtail"];

/// All sets. Each is rendered once.
pub(crate) fn all() -> &'static [EnvironmentSet] {
    static BUILT: OnceLock<Vec<EnvironmentSet>> = OnceLock::new();
    BUILT.get_or_init(|| SETS.into_iter().map(EnvironmentSet::build).collect())
}

/// The environments, without the variant.
pub(crate) fn environments() -> impl Iterator<Item = &'static EnvironmentSet> {
    all().iter().filter(|set| set.name != "promtail")
}

/// Renders a folder of `manifests`.
pub(crate) fn build(manifests: &Path, folder: &str) -> Vec<Value> {
    let source = Input::Kustomization(manifests.join(folder)).read().unwrap_or_else(|e| panic!("{e:#}"));
    conformance::yaml(&source.text).unwrap_or_else(|error| panic!("{folder}: {error}"))
}

/// Renders production with Promtail, from a copy with the change of one line that the README describes.
fn with_promtail() -> Vec<Value> {
    let copy = std::env::temp_dir().join(format!("pratique-promtail-{}", std::process::id()));
    copy_tree(&root().join("manifests"), &copy).unwrap_or_else(|e| panic!("{}: {e}", copy.display()));
    let file = copy.join("clusters/production/logging/kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let switched = text.replace("platform/logging/alloy\n", "platform/logging/promtail\n");
    assert_ne!(text, switched, "the line with Alloy was not found");
    std::fs::write(&file, switched).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let objects = build(&copy, "clusters/production");
    drop(std::fs::remove_dir_all(&copy));
    objects
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        match entry.path().is_dir() {
            true => copy_tree(&entry.path(), &to.join(entry.file_name()))?,
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name()))?),
        }
    }
    Ok(())
}

/// The pods of the workloads after mutation by the set's policies.
fn admitted(objects: &[Value]) -> BTreeMap<usize, Value> {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let file = root().join("manifests/policies.yaml");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Config::parse(&text, &file).unwrap_or_else(|error| panic!("{error:#}"))
    });
    let mut pods = BTreeMap::new();
    for (i, object) in objects.iter().enumerate() {
        let arena = Arena::new();
        let copy = policy_core::Value::copy(object.clone(), &arena).expect("the object is JSON");
        let Ok(request) = Request::create(Field::root(copy, &arena), "default") else { continue };
        let made = match request.kind.kind {
            "Pod" => Some(request),
            _ => pods_of(&request, WorkloadKinds::BUILT_IN)
                .unwrap_or_else(|undecided| panic!("{}: {undecided}", name(object)))
                .map(|pods| pods.request),
        };
        let Some(made) = made else { continue };
        let verdicts = admit(&config.policies, &made, &NoCluster, AdmissionPhase::Mutating);
        let pod = verdicts.patched.or(made.object.value().ok().flatten().copied());
        pods.insert(i, serde_json::to_value(pod).expect("the pod is JSON"));
    }
    pods
}

/// A pod template after mutation, and its workload.
#[derive(Clone, Copy)]
pub(crate) struct EvaluatedTemplate<'s> {
    pub(crate) workload: &'s Value,
    pub(crate) pod: &'s Value,
}

impl EnvironmentSet {
    fn build(name: &'static str) -> Self {
        let objects = match name {
            "promtail" => with_promtail(),
            _ => build(&root().join("manifests"), &format!("clusters/{name}")),
        };
        EnvironmentSet::of_objects(name, objects)
    }

    fn of_objects(name: &'static str, objects: Vec<Value>) -> Self {
        let pods = admitted(&objects);
        EnvironmentSet { name, objects, pods }
    }

    /// The environment of the set.
    pub(crate) fn environment(&self) -> &'static str {
        if self.name == "promtail" { "production" } else { self.name }
    }

    /// Returns a copy in which the text `from` is replaced with `to` in one object. The object must contain it.
    pub(crate) fn with(&self, object: &str, from: &str, to: &str) -> EnvironmentSet {
        let mut objects = self.objects.clone();
        let found = objects.iter_mut().find(|candidate| name(candidate) == object);
        let found = found.unwrap_or_else(|| panic!("{}: no {object} found", self.name));
        let text = found.to_string();
        assert!(text.contains(from), "{object} does not contain {from}: {text}");
        *found = serde_json::from_str(&text.replacen(from, to, 1)).expect("the changed object is JSON");
        EnvironmentSet::of_objects(self.name, objects)
    }

    /// Returns a copy without one object.
    pub(crate) fn without(&self, object: &str) -> EnvironmentSet {
        let objects: Vec<Value> = self.objects.iter().filter(|o| name(o) != object).cloned().collect();
        assert_eq!(objects.len() + 1, self.objects.len(), "there must be exactly one {object}");
        EnvironmentSet::of_objects(self.name, objects)
    }

    pub(crate) fn of<'s>(&'s self, kind: &str) -> impl Iterator<Item = &'s Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    pub(crate) fn get<'s>(&'s self, kind: &str, namespace: &str, name: &str) -> Option<&'s Value> {
        self.of(kind).find(|object| namespace_of(object) == namespace && object["metadata"]["name"] == name)
    }

    /// The pods of all workloads after mutation.
    pub(crate) fn templates(&self) -> impl Iterator<Item = EvaluatedTemplate<'_>> {
        let pods = self.pods.iter().filter_map(|(i, pod)| Some((self.objects.get(*i)?, pod)));
        pods.map(|(workload, pod)| EvaluatedTemplate { workload, pod })
    }

    /// The pods in a namespace that match a label selector.
    pub(crate) fn selected<'s>(
        &'s self,
        namespace: &'s str,
        selector: &'s Value,
    ) -> impl Iterator<Item = EvaluatedTemplate<'s>> {
        self.templates().filter(move |template| template.namespace() == namespace && template.has(selector))
    }
}

impl<'s> EvaluatedTemplate<'s> {
    pub(crate) fn namespace(self) -> &'s str {
        namespace_of(self.workload)
    }

    pub(crate) fn name(self) -> String {
        name(self.workload)
    }

    pub(crate) fn spec(self) -> &'s Value {
        &self.pod["spec"]
    }

    /// Whether the pod has all labels of a map or a LabelSelector.
    pub(crate) fn has(self, selector: &Value) -> bool {
        matches(selector, &self.pod["metadata"]["labels"])
    }

    pub(crate) fn containers(self) -> impl Iterator<Item = &'s Value> {
        ["initContainers", "containers"].into_iter().flat_map(move |list| items(&self.spec()[list]))
    }

    /// The name and number of the ports of the running containers.
    pub(crate) fn ports(self) -> Vec<(&'s str, u64)> {
        let running = items(&self.spec()["initContainers"])
            .filter(|container| container["restartPolicy"] == "Always")
            .chain(items(&self.spec()["containers"]));
        let ports = running.flat_map(|container| items(&container["ports"]));
        ports.map(|port| (text(port, "/name"), port["containerPort"].as_u64().unwrap_or_default())).collect()
    }

    /// Whether the pod has a port with this name or number.
    pub(crate) fn has_port(self, port: &Value) -> bool {
        self.ports().iter().any(|(name, number)| port == name && !name.is_empty() || port == number)
    }
}

/// Whether labels match a selector: a map, `matchLabels`, or `matchExpressions` with In and Exists.
pub(crate) fn matches(selector: &Value, labels: &Value) -> bool {
    let is_selector = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let map = if is_selector { &selector["matchLabels"] } else { selector };
    let equal = map.as_object().into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && items(&selector["matchExpressions"]).all(|expression| {
            let value = labels.get(text(expression, "/key"));
            match text(expression, "/operator") {
                "In" => value.is_some_and(|value| items(&expression["values"]).any(|other| other == value)),
                "Exists" => value.is_some(),
                operator => {
                    panic!("this test does not support the operator {operator} yet")
                }
            }
        })
}

pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The string at a JSON pointer, or an empty string.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn namespace_of(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `Deployment shop/web`.
pub(crate) fn name(object: &Value) -> String {
    let namespace = namespace_of(object);
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{slash}{}", text(object, "/kind"), text(object, "/metadata/name"))
}

/// The keys of a map.
pub(crate) fn keys(map: &Value) -> impl Iterator<Item = &str> {
    map.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
}

/// The Secrets that will exist with their keys: from SealedSecrets, or created by cert-manager.
pub(crate) fn secrets(set: &EnvironmentSet) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut secrets = BTreeMap::new();
    for sealed in set.of("SealedSecret") {
        let keys = keys(&sealed["spec"]["encryptedData"]).chain(keys(&sealed["spec"]["template"]["data"]));
        secrets.insert((namespace_of(sealed), text(sealed, "/metadata/name")), keys.collect());
    }
    for certificate in set.of("Certificate") {
        let name = text(certificate, "/spec/secretName");
        secrets.insert((namespace_of(certificate), name), vec!["tls.crt", "tls.key", "ca.crt"]);
    }
    secrets
}
