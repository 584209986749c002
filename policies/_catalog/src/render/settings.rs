//! Describes the settings of a policy from its JSON Schema, as Markdown and for a terminal.

use policy_core::PolicyDefinition;
use serde_json::Value;

/// The tables of a policy's settings and of their allowed values.
pub(super) fn settings(schema: &Value) -> String {
    let mut text =
        "\n## Settings\n\n| setting | type | default | description |\n|---|---|---|---|\n".to_owned();
    for (name, property) in members(schema, "properties") {
        let default = property.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
        text.push_str(&format!(
            "| `{name}` | {} | {default} | {} |\n",
            kind(schema, property),
            one_line(property)
        ));
    }
    for (name, definition) in objects(schema) {
        text.push_str(&format!(
            "\n### {name}\n\n{}\n\n| field | type | description |\n|---|---|---|\n",
            one_line(definition)
        ));
        for (name, property) in members(definition, "properties") {
            text.push_str(&format!("| `{name}` | {} | {} |\n", kind(schema, property), one_line(property)));
        }
    }
    for (name, values) in enumerations(schema) {
        text.push_str(&format!("\n### {name}\n\n| value | description |\n|---|---|\n"));
        for value in values {
            let word = value.get("const").and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!("| `{word}` | {} |\n", one_line(value)));
        }
    }
    text
}

/// The object definitions of a schema, such as the items of a list setting.
fn objects(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    members(schema, "$defs").filter(|(_, definition)| definition.get("properties").is_some())
}

/// The members of an object in a schema, such as its properties.
fn members<'s>(schema: &'s Value, key: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    schema.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The definitions of a schema that list the allowed values of a setting, and those values.
fn enumerations(schema: &Value) -> impl Iterator<Item = (&String, &Vec<Value>)> {
    members(schema, "$defs")
        .filter_map(|(name, definition)| Some((name, definition.get("oneOf")?.as_array()?)))
}

fn kind(schema: &Value, property: &Value) -> String {
    let reference = |value: &Value| {
        let name = value.get("$ref").and_then(Value::as_str)?.rsplit('/').next()?;
        let sections =
            objects(schema).map(|(name, _)| name).chain(enumerations(schema).map(|(name, _)| name));
        let has_section = sections.into_iter().any(|section| section == name);
        // A definition that is only a string has no section.
        Some(if has_section { format!("[{name}](#{})", name.to_lowercase()) } else { "string".to_owned() })
    };
    // An optional property may also be null: `["string", "null"]`, or `anyOf` a reference and null.
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

/// The output of `pratique policies NAME`.
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
