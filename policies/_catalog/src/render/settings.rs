//! What settings there are, out of the JSON Schema of a policy: for its page, and for a terminal.

use policy_core::PolicyDefinition;
use serde_json::Value;

/// The table of a policy's settings, and of the values that they may name.
pub(super) fn settings(schema: &Value) -> String {
    let mut text = "\n## Settings\n\n| setting | type | default | what |\n|---|---|---|---|\n".to_owned();
    for (name, property) in members(schema, "properties") {
        let default = property.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
        text.push_str(&format!("| `{name}` | {} | {default} | {} |\n", kind(property), one_line(property)));
    }
    for (name, definition) in objects(schema) {
        text.push_str(&format!(
            "\n### {name}\n\n{}\n\n| field | type | what |\n|---|---|---|\n",
            one_line(definition)
        ));
        for (name, property) in members(definition, "properties") {
            text.push_str(&format!("| `{name}` | {} | {} |\n", kind(property), one_line(property)));
        }
    }
    for (name, values) in enumerations(schema) {
        text.push_str(&format!("\n### {name}\n\n| value | what |\n|---|---|\n"));
        for value in values {
            let word = value.get("const").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("| `{word}` | {} |\n", one_line(value)));
        }
    }
    text
}

/// The definitions of a schema that are objects, such as the items of a setting that is a list.
fn objects(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    members(schema, "$defs").filter(|(_, definition)| definition.get("properties").is_some())
}

/// The members of an object in a schema, such as its properties.
fn members<'s>(schema: &'s Value, key: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    schema.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The definitions of a schema that list the values a setting may have, and those values.
fn enumerations(schema: &Value) -> impl Iterator<Item = (&String, &Vec<Value>)> {
    members(schema, "$defs")
        .filter_map(|(name, definition)| Some((name, definition.get("oneOf")?.as_array()?)))
}

fn kind(property: &Value) -> String {
    let reference = |value: &Value| {
        let name = value.get("$ref").and_then(Value::as_str)?.rsplit('/').next()?;
        Some(format!("[{name}](#{})", name.to_lowercase()))
    };
    // What may be left out may be null as well: `["string", "null"]`, or any of a reference and null.
    let word = |value: &Value| match value.get("type")? {
        Value::Array(words) => words.first().and_then(Value::as_str).map(str::to_owned),
        word => word.as_str().map(str::to_owned),
    };
    let any = |value: &Value| value.get("anyOf").and_then(Value::as_array)?.iter().find_map(reference);
    let of = |value: &Value| {
        reference(value).or_else(|| any(value)).or_else(|| word(value)).unwrap_or_else(|| "any".to_owned())
    };
    match property.get("items") {
        Some(items) => format!("list of {}", of(items)),
        None => of(property),
    }
}

fn one_line(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A policy as `pratique policies NAME` describes it on a terminal.
pub fn help(entry: &PolicyDefinition) -> String {
    let metadata = entry.metadata;
    let schema = (entry.schema)();
    let docs = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut text = format!("{}\n{}\n\n{docs}\n\n## Settings\n", metadata.name, metadata.summary);
    for (name, property) in members(schema.as_value(), "properties") {
        let default =
            property.get("default").map(|default| format!(" (default {default})")).unwrap_or_default();
        text.push_str(&format!("\n{name}{default}\n    {}\n", one_line(property)));
    }
    for (name, definition) in objects(schema.as_value()) {
        text.push_str(&format!("\n## {name}\n\n{}\n", one_line(definition)));
        for (name, property) in members(definition, "properties") {
            text.push_str(&format!("\n{name}\n    {}\n", one_line(property)));
        }
    }
    for (name, values) in enumerations(schema.as_value()) {
        text.push_str(&format!("\n## {name}\n\n"));
        for value in values {
            let word = value.get("const").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("{word:28} {}\n", one_line(value)));
        }
    }
    let appendix = (entry.appendix)();
    if !appendix.is_empty() {
        text.push_str(&format!("\n{appendix}"));
    }
    text.push_str(&format!("\n## How to fix a denial\n\n{}\n", metadata.remediation));
    text
}
