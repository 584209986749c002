//! Writes values as YAML, the way people write manifests.

use serde_json::Value as Json;

/// A value in flow style: JSON is valid YAML.
pub(super) fn flow(value: &Json) -> String {
    value.to_string()
}

/// A value in block style, each line indented; ends with a line break.
pub(super) fn block(value: &Json, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Json::Object(members) if !members.is_empty() => {
            let mut members: Vec<(&String, &Json)> = members.iter().collect();
            members.sort_by_key(|(key, _)| (rank(key), *key));
            let member = |(key, value): (&String, &Json)| match value {
                Json::Object(inner) if !inner.is_empty() => {
                    format!("{pad}{}:\n{}", quoted(key), block(value, indent + 2))
                }
                Json::Array(inner) if !inner.is_empty() => {
                    format!("{pad}{}:\n{}", quoted(key), block(value, indent))
                }
                value => format!("{pad}{}: {}\n", quoted(key), scalar(value)),
            };
            members.into_iter().map(member).collect()
        }
        Json::Array(items) if !items.is_empty() => {
            let item = |item: &Json| match item {
                Json::Object(members) if !members.is_empty() => {
                    let lines = block(item, indent + 2);
                    format!("{pad}- {}", lines.trim_start())
                }
                item => format!("{pad}- {}\n", scalar(item)),
            };
            items.iter().map(item).collect()
        }
        value => format!("{pad}{}\n", scalar(value)),
    }
}

/// The rank of a key, so that the keys that readers look for come first.
fn rank(key: &str) -> usize {
    const FIRST: [&str; 4] = ["name", "image", "args", "env"];
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        value => value.to_string(),
    }
}

/// A plain scalar, if YAML 1.1 and 1.2 both read it as that text; otherwise a quoted scalar.
pub(super) fn quoted(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') || text.starts_with("--");
    let inner = |c: char| c.is_ascii_alphanumeric() || "/-_.=:".contains(c);
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if first && !is_word && !text.ends_with(':') && !text.starts_with("---") && text.chars().all(inner) {
        return text.to_owned();
    }
    if text.contains('"') && !text.contains(['\'', '\\']) && !text.contains(char::is_control) {
        return format!("'{text}'");
    }
    Json::from(text).to_string()
}
