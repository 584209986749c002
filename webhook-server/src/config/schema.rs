//! The JSON Schema of `policies.yaml`, for editors and for whoever writes the file by a program.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use policy_catalog::POLICIES;
use policy_core::Entry;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};

use super::Mode;
use crate::exceptions::Written;

/// The schema (draft 2020-12). What it cannot say, such as a policy that is listed twice, is said when the file is read.
pub fn schema() -> Value {
    let mut defs = Map::new();
    let mode = hoist("Mode", schema_for!(Mode), &mut defs);
    let selector = hoist("LabelSelector", schema_for!(LabelSelector), &mut defs);
    let exception = hoist("Exception", schema_for!(Written), &mut defs);
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
        },
        "$defs": defs,
    })
}

/// An item of `policies`.
fn policy(entry: &Entry, defs: &mut Map<String, Value>) -> Value {
    let about = entry.about;
    json!({
        "title": about.title,
        "description": about.summary,
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"const": about.name},
            "mode": {"$ref": "#/$defs/Mode", "default": "enforce"},
            "namespaceSelector": {
                "description": "Only what is in namespaces with such labels is judged, and what is in none; by default, everything.",
                "$ref": "#/$defs/LabelSelector",
            },
            "settings": hoist(about.name, (entry.schema)(), defs),
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
