//! Generates TypeScript interfaces from a JSON Schema, for the JSON that serde writes.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The interfaces of a schema: its definitions, and the schema itself under `name`.
pub fn typescript(name: &str, schema: &Value) -> String {
    let mut text = String::new();
    for (name, definition) in members(schema, "$defs") {
        declare(&mut text, name, definition);
    }
    declare(&mut text, name, schema);
    text
}

fn declare(text: &mut String, name: &str, schema: &Value) {
    // Writing to a string does not fail.
    let _ = write!(text, "\n{}", comment(schema, ""));
    let _ = match schema.get("properties") {
        None => writeln!(text, "export type {name} = {};", expression(schema)),
        Some(_) => writeln!(text, "export interface {name} {{\n{}}}", properties(schema)),
    };
}

/// The properties of an object. A property that is not required is omitted instead of null.
fn properties(schema: &Value) -> String {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut text = String::new();
    for (name, property) in members(schema, "properties") {
        let comment = comment(property, "  ");
        let value = expression(property);
        let _ = match required.contains(&name.as_str()) {
            true => writeln!(text, "{comment}  {name}: {value};"),
            false => writeln!(text, "{comment}  {name}?: {};", value.trim_end_matches(" | null")),
        };
    }
    text
}

/// A type.
fn expression(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference.rsplit('/').next().unwrap_or("unknown").to_owned();
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(alternatives) = schema.get(key).and_then(Value::as_array) {
            return alternatives.iter().map(expression).collect::<Vec<_>>().join(" | ");
        }
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            types.iter().map(|one| named(one, schema)).collect::<Vec<_>>().join(" | ")
        }
        Some(one) => named(one, schema),
        None => "unknown".to_owned(),
    }
}

fn named(name: &Value, schema: &Value) -> String {
    match name.as_str().unwrap_or_default() {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let item = schema.get("items").map_or_else(|| "unknown".to_owned(), expression);
            if item.contains(' ') { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" => match schema.get("additionalProperties") {
            Some(value @ Value::Object(_)) => format!("Record<string, {}>", expression(value)),
            _ => "Record<string, unknown>".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn comment(schema: &Value, indent: &str) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { String::new() } else { format!("{indent}/** {line} */\n") }
}

fn members<'s>(schema: &'s Value, key: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    schema.get(key).and_then(Value::as_object).map(Map::iter).into_iter().flatten()
}
