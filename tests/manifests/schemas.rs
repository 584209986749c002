//! Validates every object against the schema of its kind.
//!
//! Built-in kinds use the schemas of k8s-openapi's types, other kinds their CustomResourceDefinition. Unknown fields
//! are forbidden in all schemas, as in an API server with strict validation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conformance::root;
use jsonschema::Validator;
use k8s_openapi::Resource;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::set::{EnvironmentSet, items, name, namespace_of, text};

/// The folder of the CustomResourceDefinitions, or the reason why it is missing.
pub(crate) fn crds() -> Result<PathBuf, String> {
    let folder = std::env::var_os("CRDS").map_or_else(|| root().join("../shared/crds"), PathBuf::from);
    match folder.is_dir() {
        true => Ok(folder),
        false => {
            Err("no folder ../shared/crds found: set CRDS to a folder with the CustomResourceDefinitions"
                .to_owned())
        }
    }
}

/// Schemas by apiVersion and kind.
pub(crate) struct Schemas(BTreeMap<(String, String), Schema>);

struct Schema {
    validator: Validator,
    /// Whether objects of this kind are namespaced.
    namespaced: bool,
}

impl Schemas {
    pub(crate) fn read(crds: &Path) -> Self {
        let mut schemas = BTreeMap::new();
        built_in(&mut schemas);
        for file in std::fs::read_dir(crds).expect("the folder can be listed") {
            let path = file.expect("the folder can be listed").path();
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let definitions = conformance::yaml(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for definition in definitions.iter().filter(|d| d["kind"] == "CustomResourceDefinition") {
                custom(definition, &mut schemas);
            }
        }
        Schemas(schemas)
    }

    /// The validation errors of all objects in a set.
    pub(crate) fn problems(&self, set: &EnvironmentSet) -> Vec<String> {
        let mut problems = Vec::new();
        for object in &set.objects {
            let key = (text(object, "/apiVersion").to_owned(), text(object, "/kind").to_owned());
            let Some(schema) = self.0.get(&key) else {
                problems.push(format!("{}: no schema for {} {}", name(object), key.0, key.1));
                continue;
            };
            // kustomize adds a namespace to kinds that it does not know.
            if schema.namespaced == namespace_of(object).is_empty() {
                let must = if schema.namespaced { "must have a" } else { "must not have a" };
                problems.push(format!("{}: {must} namespace", name(object)));
            }
            let errors = schema.validator.iter_errors(object);
            problems
                .extend(errors.map(|error| format!("{}: {}: {error}", name(object), error.instance_path())));
        }
        problems
    }
}

fn built_in(schemas: &mut BTreeMap<(String, String), Schema>) {
    fn add<T: Resource + JsonSchema>(schemas: &mut BTreeMap<(String, String), Schema>) {
        let schema = SchemaGenerator::default().into_root_schema_for::<T>();
        let schema = schema.as_value().clone();
        let namespaced = std::any::type_name::<T::Scope>().ends_with("NamespaceResourceScope");
        let schema = Schema { validator: compile(schema, T::KIND), namespaced };
        schemas.insert((T::API_VERSION.to_owned(), T::KIND.to_owned()), schema);
    }
    use k8s_openapi::api::{admissionregistration, apps, autoscaling, batch, core, networking, policy, rbac};
    use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
    add::<admissionregistration::v1::MutatingWebhookConfiguration>(schemas);
    add::<admissionregistration::v1::ValidatingWebhookConfiguration>(schemas);
    add::<apiregistration::v1::APIService>(schemas);
    add::<apps::v1::DaemonSet>(schemas);
    add::<apps::v1::Deployment>(schemas);
    add::<apps::v1::StatefulSet>(schemas);
    add::<autoscaling::v2::HorizontalPodAutoscaler>(schemas);
    add::<batch::v1::CronJob>(schemas);
    add::<batch::v1::Job>(schemas);
    add::<core::v1::ConfigMap>(schemas);
    add::<core::v1::Namespace>(schemas);
    add::<core::v1::PersistentVolumeClaim>(schemas);
    add::<core::v1::Service>(schemas);
    add::<core::v1::ServiceAccount>(schemas);
    add::<networking::v1::NetworkPolicy>(schemas);
    add::<policy::v1::PodDisruptionBudget>(schemas);
    add::<rbac::v1::ClusterRole>(schemas);
    add::<rbac::v1::ClusterRoleBinding>(schemas);
    add::<rbac::v1::Role>(schemas);
    add::<rbac::v1::RoleBinding>(schemas);
}

fn custom(definition: &Value, schemas: &mut BTreeMap<(String, String), Schema>) {
    let (group, kind) = (text(definition, "/spec/group"), text(definition, "/spec/names/kind"));
    for version in items(&definition["spec"]["versions"]).filter(|version| version["served"] == true) {
        let api_version = format!("{group}/{}", text(version, "/name"));
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        // CustomResourceDefinitions do not define these properties, because the API server does.
        let properties = &mut schema["properties"];
        properties["apiVersion"] = json!({"const": api_version});
        properties["kind"] = json!({"const": kind});
        let metadata = SchemaGenerator::default()
            .into_root_schema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
        let mut metadata = metadata.as_value().clone();
        // The references in `metadata` point to these definitions.
        if let Some(defs) = metadata.as_object_mut().and_then(|metadata| metadata.remove("$defs")) {
            schema["$defs"] = defs;
        }
        schema["properties"]["metadata"] = metadata;
        let namespaced = definition["spec"]["scope"] == "Namespaced";
        let schema = Schema { validator: compile(schema, kind), namespaced };
        schemas.insert((api_version, kind.to_owned()), schema);
    }
}

fn compile(mut schema: Value, kind: &str) -> Validator {
    close(&mut schema);
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("schema of {kind}: {error}"))
}

/// Forbids unknown fields in a schema and in all its subschemas.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(close),
        Value::Object(map) => {
            let open = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
                || map.contains_key("additionalProperties");
            // `properties` can also be the name of a field. In a schema, it is an object of schemas.
            if map.get("properties").is_some_and(Value::is_object) && is_schema(map) && !open {
                map.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            // Subschemas of these keywords describe only a part of the object, so they must stay open.
            let parts = ["anyOf", "oneOf", "allOf", "not"];
            map.iter_mut()
                .filter(|(key, _)| !parts.contains(&key.as_str()))
                .for_each(|(_, value)| close(value));
        }
        _ => {}
    }
}

fn is_schema(map: &Map<String, Value>) -> bool {
    map.get("type").is_none_or(|kind| kind == "object" || kind.is_array())
}
