//! The JSON Schema of `policies.yaml`, for editors and for programs that write the file.

use policy_catalog::POLICIES;
use policy_core::PolicyDefinition;
use policy_kubernetes::PodTemplate;
use policy_kubernetes::reachability::Prometheus;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};

use super::Mode;
use super::exceptions::ExceptionEntry;

/// The schema (draft 2020-12). Errors that it cannot express, such as a duplicate policy, are reported when the file is read.
pub fn schema() -> Value {
    let mut defs = Map::new();
    let mode = hoist("Mode", schema_for!(Mode), &mut defs);
    let exception = hoist("Exception", schema_for!(ExceptionEntry), &mut defs);
    let pod_template = hoist("PodTemplate", schema_for!(PodTemplate), &mut defs);
    let prometheus = hoist("Prometheus", schema_for!(Prometheus), &mut defs);
    defs.insert("PodTemplate".to_owned(), pod_template);
    defs.insert("Prometheus".to_owned(), prometheus);
    defs.insert("Mode".to_owned(), mode);
    defs.insert("LabelSelector".to_owned(), label_selector());
    defs.insert("Exception".to_owned(), exception);
    let policies: Vec<Value> = POLICIES.iter().map(|entry| policy(entry, &mut defs)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "policies.yaml",
        "description": "The policies to run, with their modes, settings, namespaces and exceptions.",
        "type": "object",
        "additionalProperties": false,
        "required": ["policies"],
        "properties": {
            "policies": {
                "description": "The policies to run, each at most once.",
                "type": "array",
                "minItems": 1,
                "items": {"oneOf": policies},
            },
            "exceptions": {
                "description": "Reviewed denials that are allowed until a given day, each with an owner.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/Exception"},
            },
            "podTemplates": {
                "description": "Custom kinds that create pods, for every policy that reads pods. Their objects are evaluated like Deployments.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/PodTemplate"},
            },
            "prometheus": {
                "description": "The Prometheus that scrapes the pods, for every policy that needs it.",
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
                "description": "Limits the policy to namespaces with matching labels. Objects without a namespace are always evaluated.",
                "$ref": "#/$defs/LabelSelector",
            },
            "settings": hoist(metadata.name, (entry.schema)(), defs),
        },
    })
}

/// A LabelSelector (meta/v1).
fn label_selector() -> Value {
    json!({
        "description": "A label selector. All of its requirements must hold; an empty selector matches everything.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "matchLabels": {
                "description": "Labels that must exist with these values.",
                "type": ["object", "null"],
                "additionalProperties": {"type": "string"},
            },
            "matchExpressions": {
                "description": "Requirements on labels.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"description": "The key of the label.", "type": "string"},
                        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "description": "The values for In and NotIn.",
                            "type": ["array", "null"],
                            "items": {"type": "string"},
                        },
                    },
                },
            },
        },
    })
}

/// Moves the definitions of a schema to `defs`, under unique names.
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

/// Updates every reference to the new names of the definitions.
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
