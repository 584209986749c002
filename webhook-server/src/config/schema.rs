//! The JSON Schema of `policies.yaml`, for editors and for whoever writes the file by a program.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use policy_catalog::POLICIES;
use policy_core::PolicyDefinition;
use policy_kubernetes::PodTemplate;
use policy_kubernetes::reachability::Prometheus;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};

use super::Mode;
use super::exceptions::ExceptionEntry;

/// The schema (draft 2020-12). What it cannot say, such as a policy that is listed twice, is said when the file is read.
pub fn schema() -> Value {
    let mut defs = Map::new();
    let mode = hoist("Mode", schema_for!(Mode), &mut defs);
    let selector = hoist("LabelSelector", schema_for!(LabelSelector), &mut defs);
    let exception = hoist("Exception", schema_for!(ExceptionEntry), &mut defs);
    let pod_template = hoist("PodTemplate", schema_for!(PodTemplate), &mut defs);
    let prometheus = hoist("Prometheus", schema_for!(Prometheus), &mut defs);
    defs.insert("PodTemplate".to_owned(), pod_template);
    defs.insert("Prometheus".to_owned(), prometheus);
    defs.insert("Mode".to_owned(), mode);
    defs.insert("LabelSelector".to_owned(), selector);
    defs.insert("Exception".to_owned(), exception);
    let policies: Vec<Value> = POLICIES.iter().map(|entry| policy(entry, &mut defs)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "policies.yaml",
        "description": "Which policies are asked, how strictly, with which settings and where, and what is excepted.",
        "type": "object",
        "additionalProperties": false,
        "required": ["policies"],
        "properties": {
            "policies": {
                "description": "The policies that are asked; each at most once.",
                "type": "array",
                "minItems": 1,
                "items": {"oneOf": policies},
            },
            "exceptions": {
                "description": "Denials that somebody has reviewed and owns, until a day.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/Exception"},
            },
            "podTemplates": {
                "description": "Custom kinds that make pods, for every policy that reads pods: their objects are evaluated like Deployments.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/PodTemplate"},
            },
            "prometheus": {
                "description": "The Prometheus that scrapes, for every policy that needs to know it.",
                "$ref": "#/$defs/Prometheus",
            },
        },
        "$defs": defs,
    })
}

/// An item of `policies`.
fn policy(entry: &PolicyDefinition, defs: &mut Map<String, Value>) -> Value {
    let metadata = entry.metadata;
    json!({
        "title": metadata.title,
        "description": metadata.summary,
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"const": metadata.name},
            "mode": {"$ref": "#/$defs/Mode", "default": "enforce"},
            "namespaceSelector": {
                "description": "Only what is in namespaces with such labels is judged, and what is in none; by default, everything.",
                "$ref": "#/$defs/LabelSelector",
            },
            "settings": hoist(metadata.name, (entry.schema)(), defs),
        },
    })
}

/// A schema without its own definitions: these are added to `defs` under names that nobody else uses.
fn hoist(prefix: &str, schema: Schema, defs: &mut Map<String, Value>) -> Value {
    let mut schema = schema.to_value();
    let Some(object) = schema.as_object_mut() else { return schema };
    object.remove("$schema");
    let own = object.remove("$defs");
    rename(&mut schema, prefix);
    for (name, mut definition) in own.as_ref().and_then(Value::as_object).cloned().into_iter().flatten() {
        rename(&mut definition, prefix);
        defs.insert(format!("{prefix}.{name}"), definition);
    }
    schema
}

/// Points every reference at the definitions' new names.
fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{prefix}.{name}");
                        }
                    }
                    value => rename(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        _ => {}
    }
}
