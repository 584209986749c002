//! Applies a JSON Patch to the text of a document, and leaves everything else as it is.
//!
//! New text follows the style of its parent: block or flow. The caller must decode the result and compare it with the patched
//! value, because the two can differ if the document has anchors or merge keys.

mod write;

use std::ops::Range;

use serde_json::Value as Json;

use super::Document;
use super::tree::{Children, MappingMembers, YamlNode, parse};
use crate::patch::PatchOperation;
use write::{block, flow, quoted};

/// The text of a document with these operations applied.
///
/// The text is parsed again only if two operations replace the same place, which is rare.
///
/// # Errors
/// A message, if the target of an operation is not in the text, such as a field behind an alias.
pub(super) fn edited(text: &str, operations: &[PatchOperation]) -> Result<String, String> {
    let mut text = text.to_owned();
    let mut rest = operations;
    while !rest.is_empty() {
        let root = parse(&Document { text: &text, line: 1 }).map_err(|error| error.to_string())?;
        let root = root.ok_or("the document is empty")?;
        let mut places: Vec<(Range<usize>, String)> = Vec::new();
        for operation in rest {
            let fail = |reason: String| format!("{}: {reason}", operation.path);
            let place = place(&root, &text, operation).map_err(fail)?;
            // A replacement changes the place that a later operation refers to.
            if places.iter().any(|(at, _)| !at.is_empty() && *at == place.0) {
                break;
            }
            places.push(place);
        }
        rest = rest.get(places.len()..).unwrap_or_default();
        text = with(&text, places);
    }
    Ok(text)
}

/// The text with all of these changes. Changes at the same place keep their order.
fn with(text: &str, mut places: Vec<(Range<usize>, String)>) -> String {
    places.sort_by_key(|(at, _)| at.start);
    let is_dos = text.contains("\r\n");
    let mut made = String::with_capacity(text.len() + 1024);
    let mut from = 0;
    for (at, new) in places {
        made.push_str(text.get(from..at.start).unwrap_or_default());
        from = at.end;
        if new.starts_with('\n') {
            made.truncate(made.trim_end_matches(' ').len());
            // A comment after an empty value stays on the line of its key.
            let line = text.get(from..).and_then(|rest| rest.split('\n').next()).unwrap_or_default();
            if line.trim_start().starts_with('#') {
                made.push(' ');
                made.push_str(line.trim());
                from += line.trim_end().len();
            }
        } else if made.ends_with(':') {
            made.push(' ');
        }
        made.push_str(&if is_dos { new.replace('\n', "\r\n") } else { new });
    }
    made + text.get(from..).unwrap_or_default()
}

/// The range that an operation replaces, and its new text.
fn place(root: &YamlNode, text: &str, operation: &PatchOperation) -> Result<(Range<usize>, String), String> {
    let (parent, last) = operation.path.rsplit_once('/').ok_or("the path must start with `/`")?;
    let last = last.replace("~1", "/").replace("~0", "~");
    let (node, indent) = root.at_pointer(parent)?;
    Ok(match &node.children {
        Children::Mapping(members) => match members.get(&last) {
            Some(member) => {
                (member.value.at.clone(), member.value.written_as(&operation.value, member.column()))
            }
            None => node.with_member(text, members, &last, &operation.value, indent),
        },
        Children::List(items) if last == "-" => node.with_item(text, items, &operation.value, indent),
        Children::List(items) => {
            let item = last.parse().ok().and_then(|index: usize| items.get(index));
            let item = item.ok_or("the item does not exist")?;
            (item.at.clone(), flow(&operation.value))
        }
        Children::Scalar => return Err("it is written as an alias or a scalar".to_owned()),
    })
}

impl YamlNode {
    /// The node at a pointer, and the column of its key.
    fn at_pointer(&self, pointer: &str) -> Result<(&YamlNode, usize), String> {
        let mut found = (self, 0);
        for segment in pointer.split('/').skip(1) {
            let key = segment.replace("~1", "/").replace("~0", "~");
            let next = match &found.0.children {
                Children::Mapping(members) => {
                    members.get(&key).map(|member| (&member.value, member.column()))
                }
                Children::List(items) => {
                    let item = key.parse().ok().and_then(|index: usize| items.get(index));
                    item.map(|item| (item, found.1))
                }
                Children::Scalar => None,
            };
            found = next.ok_or_else(|| {
                format!("`{key}` is not in the text; it may come from an alias or a merge key")
            })?;
        }
        Ok(found)
    }

    /// The text of a value that replaces this node; `column` is the column of the node's key.
    fn written_as(&self, value: &Json, column: usize) -> String {
        let is_collection = value.is_object() || value.is_array();
        if self.in_flow || !is_collection {
            return flow(value);
        }
        let lines = block(value, if value.is_array() { column } else { column + 2 });
        // A key without a value ends with its colon.
        format!("\n{}", lines.trim_end())
    }

    /// The range at which to add a member to a mapping, and its text; `indent` is the column of the mapping's key.
    fn with_member(
        &self,
        text: &str,
        members: &MappingMembers,
        key: &str,
        value: &Json,
        indent: usize,
    ) -> (Range<usize>, String) {
        let added_member = || Json::Object([(key.to_owned(), value.clone())].into_iter().collect());
        let Some(member) = members.list.last() else {
            return (self.at.clone(), self.written_as(&added_member(), indent));
        };
        let (column, last) = (member.column(), &member.value);
        if self.is_flow {
            let added =
                format!(",{}{}: {}", self.spread(text, last.at.end), self.flow_key(text, key), flow(value));
            return (last.at.end..last.at.end, added);
        }
        insert_line(text, last.at.end, &block(&added_member(), column))
    }

    /// The range at which to add an item to a list, and its text; `indent` is the column of the list's key.
    fn with_item(
        &self,
        text: &str,
        items: &[YamlNode],
        value: &Json,
        indent: usize,
    ) -> (Range<usize>, String) {
        let list = Json::Array(vec![value.clone()]);
        let Some(last) = items.last() else {
            return (self.at.clone(), self.written_as(&list, indent));
        };
        if self.is_flow {
            return (last.at.end..last.at.end, format!(",{}{}", self.spread(text, last.at.end), flow(value)));
        }
        // A list that is not indented starts at its first item, and its dashes are in the column of its key.
        let own = text.get(self.at.start..).unwrap_or_default();
        let is_at_dash = own.strip_prefix('-').is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
        let dash = if is_at_dash { column(text, self.at.start) } else { indent };
        insert_line(text, last.at.end, &block(&list, dash))
    }

    /// A key in the style of the other keys of a flow mapping: JSON stays JSON.
    fn flow_key(&self, text: &str, key: &str) -> String {
        let is_json = text
            .get(self.at.clone())
            .is_some_and(|text| text.trim_start_matches('{').trim_start().starts_with('"'));
        if is_json { Json::from(key).to_string() } else { quoted(key) }
    }

    /// The space before a new member of a flow collection: a space, or a new line with the indentation of the last member.
    fn spread(&self, text: &str, end: usize) -> String {
        let own = text.get(self.at.clone()).unwrap_or_default();
        let line_start =
            text.get(..end).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        // Use a new line only if the members have their own lines, not if they follow the opening bracket.
        let closes_on_its_own_line = own.trim_end_matches(['}', ']']).ends_with(['\n', ' '])
            && own.contains('\n')
            && self.at.start < line_start;
        let line = text.get(line_start..).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if closes_on_its_own_line { format!("\n{}", " ".repeat(indent)) } else { " ".to_owned() }
    }
}

/// Inserts lines after the line that contains the byte `end`.
fn insert_line(text: &str, end: usize, lines: &str) -> (Range<usize>, String) {
    let rest = text.get(end..).unwrap_or_default();
    match rest.find('\n') {
        Some(newline) => (end + newline + 1..end + newline + 1, lines.to_owned()),
        None => (text.len()..text.len(), format!("\n{}", lines.trim_end())),
    }
}

/// The column of a byte, from 0, in characters.
fn column(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edit_with(text: &str, operations: &[(&'static str, &str, Json)]) -> String {
        let operations: Vec<PatchOperation> = operations
            .iter()
            .map(|(op, path, value)| PatchOperation { op, path: (*path).to_owned(), value: value.clone() })
            .collect();
        edited(text, &operations).unwrap()
    }

    #[test]
    fn comments_order_and_style_of_the_rest_are_kept() {
        let text = "# top\nmetadata: # here\n  labels:\n    z: 1 # last\n  # about the name\n  name: x\nspec:\n  containers:\n  - name: a\n    text: |\n      one\n\n      two\n  volumes: []\n";
        let edited = edit_with(
            text,
            &[
                ("add", "/metadata/labels/a~1b", json!("true")),
                ("add", "/metadata/annotations", json!({"k": "v"})),
                ("add", "/spec/containers/-", json!({"image": "i:1", "name": "b", "args": ["--x=1"]})),
                ("add", "/spec/volumes/-", json!({"name": "v"})),
            ],
        );
        assert_eq!(
            edited,
            "# top\nmetadata: # here\n  labels:\n    z: 1 # last\n    a/b: \"true\"\n  # about the name\n  name: x\n  annotations:\n    k: v\nspec:\n  containers:\n  - name: a\n    text: |\n      one\n\n      two\n  - name: b\n    image: i:1\n    args:\n    - --x=1\n  volumes:\n  - name: v\n"
        );
    }

    #[test]
    fn flow_stays_flow_and_json_stays_json() {
        let flow = "metadata: { labels: { a: b }, list: [1] } # é\n";
        let added = [("add", "/metadata/labels/c", json!("d")), ("add", "/metadata/list/-", json!({"e": 1}))];
        assert_eq!(
            edit_with(flow, &added),
            "metadata: { labels: { a: b, c: \"d\" }, list: [1, {\"e\":1}] } # é\n"
        );
        let json = "{\n  \"metadata\": {\n    \"labels\": {\n      \"a\": \"b\"\n    },\n    \"list\": [1]\n  }\n}\n";
        let edited = edit_with(json, &added);
        assert_eq!(
            edited,
            "{\n  \"metadata\": {\n    \"labels\": {\n      \"a\": \"b\",\n      \"c\": \"d\"\n    },\n    \"list\": [1, {\"e\":1}]\n  }\n}\n"
        );
        assert!(serde_json::from_str::<Json>(&edited).is_ok());
    }

    #[test]
    fn empty_values_are_replaced() {
        for null in ["", " null", " ~", " # none"] {
            let text = format!("spec:\n  initContainers:{null}\n  containers: []\n");
            let edited = edit_with(&text, &[("replace", "/spec/initContainers", json!([{"name": "a"}]))]);
            let arena = crate::Arena::new();
            let value = crate::yaml::Document { text: &edited, line: 1 }.decode(&arena).unwrap().unwrap();
            let wanted = r#"{"spec":{"initContainers":[{"name":"a"}],"containers":[]}}"#;
            assert_eq!(value.to_string(), wanted, "{edited}");
        }
        let lists = "a: {}\nb: []\n";
        let edited = edit_with(lists, &[("add", "/a/x", json!(1)), ("add", "/b/-", json!("y:"))]);
        assert_eq!(edited, "a:\n  x: 1\nb:\n- \"y:\"\n");
    }

    #[test]
    fn lists_are_found_in_every_style() {
        let item = [("add", "/s/l/-", json!({"k": 2})), ("add", "/s/z", json!(1))];
        for (text, wanted) in [
            ("s:\n  l:\n  - {k: 1}\n", "s:\n  l:\n  - {k: 1}\n  - k: 2\n  z: 1\n"),
            ("s:\n  l:\n    - {k: 1}\n", "s:\n  l:\n    - {k: 1}\n    - k: 2\n  z: 1\n"),
            ("s:\n  l:\n  - # a-b\n    k: 1\n", "s:\n  l:\n  - # a-b\n    k: 1\n  - k: 2\n  z: 1\n"),
            ("s:\r\n  l:\r\n  - k: 1", "s:\r\n  l:\r\n  - k: 1\r\n  - k: 2\r\n  z: 1"),
            ("s: {l: [{k: 1}]}\n", "s: {l: [{k: 1}, {\"k\":2}], z: 1}\n"),
            ("s:\n  l:\n  - |+\n    t\n\n\n", "s:\n  l:\n  - |+\n    t\n\n\n  - k: 2\n  z: 1\n"),
            ("s:\n  l: !!seq []\n", "s:\n  l: !!seq\n  - k: 2\n  z: 1\n"),
        ] {
            assert_eq!(edit_with(text, &item), wanted, "{text:?}");
        }
        let two = [("add", "/l/a", json!("x")), ("add", "/l/b", json!("w"))];
        assert_eq!(edit_with("l: {} # why\nm: 1\n", &two), "l: # why\n  a: x\n  b: w\nm: 1\n");
        assert_eq!(edit_with("l: {}\r\n", &two), "l:\r\n  a: x\r\n  b: w\r\n");
        assert_eq!(edit_with("l: {c: d,}\n", &two), "l: {c: d, a: \"x\", b: \"w\",}\n");
        assert_eq!(edit_with("l: {c: d\n  }\n", &two), "l: {c: d, a: \"x\", b: \"w\"\n  }\n");
        assert_eq!(edit_with("l: {}\nm: 1\n", &two), "l:\n  a: x\n  b: w\nm: 1\n");
        assert_eq!(edit_with("l: {c: d, e}\n", &two), "l: {c: d, e, a: \"x\", b: \"w\"}\n");
        let named = [("replace", "/l/0/name", json!("x"))];
        assert_eq!(edit_with("l:\n- name:\n  port: 1\n", &named), "l:\n- name: \"x\"\n  port: 1\n");
        let json_text = "{\"t\": \"\\ud83d\\ude00\", \"l\": {\"c\": 1}}\n";
        assert!(
            edit_with(json_text, &two)
                .starts_with("{\"t\": \"\\ud83d\\ude00\", \"l\": {\"c\": 1, \"a\": \"x\"")
        );
    }

    #[test]
    fn edits_behind_aliases_are_errors() {
        let operation = PatchOperation { op: "add", path: "/b/c".to_owned(), value: json!(1) };
        let error = edited("a: &x { k: v }\nb: *x\n", &[operation]).unwrap_err();
        assert_eq!(error, "/b/c: it is written as an alias or a scalar");
        let operation = PatchOperation { op: "add", path: "/b/c/d".to_owned(), value: json!(1) };
        let error = edited("x: &x { c: { } }\nb: { <<: *x }\n", &[operation]).unwrap_err();
        assert!(error.contains("may come from an alias"), "{error}");
    }
}
