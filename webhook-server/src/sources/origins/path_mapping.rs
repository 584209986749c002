//! Maps field paths in a rendered object to paths in its source object.

use policy_core::FieldPath;
use policy_core::path::Segment;
use serde_json::Value;

/// The path of the same field in the source, as far as it exists, and whether the value is the same. A patch may have added,
/// removed or moved list items, so items are matched by name, or by value if they have no name.
pub(super) fn way(path: &FieldPath, built: &Value, written: &Value) -> (FieldPath, bool) {
    let (mut built, mut written) = (Some(built), Some(written));
    let mut way = FieldPath::default();
    for segment in &path.0 {
        match segment {
            Segment::Key(key) => {
                (built, written) = (built.and_then(|v| v.get(key)), written.and_then(|v| v.get(key)));
                way.0.push(segment.clone());
            }
            Segment::Index(index) => {
                let lists = (built.and_then(Value::as_array), written.and_then(Value::as_array));
                let (Some(items), Some(others)) = lists else { return (way, false) };
                let Some(found) = again(*index, items, others) else { return (way, false) };
                built = built.and_then(|v| v.get(index));
                written = written.and_then(|v| v.get(found));
                way.0.push(Segment::Index(found));
            }
        }
    }
    let is_same = match (built, written) {
        // Their members and items have locations of their own.
        (Some(Value::Object(_)), Some(Value::Object(_))) | (Some(Value::Array(_)), Some(Value::Array(_))) => {
            true
        }
        (built, written) => built == written,
    };
    (way, is_same)
}

/// The index in the source list of an item of the rendered list.
fn again(index: usize, built: &[Value], written: &[Value]) -> Option<usize> {
    let item = built.get(index)?;
    let is_it = |other: &Value| match &item["name"] {
        Value::Null => other == item,
        name => other["name"] == *name,
    };
    if written.get(index).is_some_and(is_it) {
        return Some(index);
    }
    // An unnamed item that has changed: it can be matched by index only if no items were added or removed.
    let is_unnamed = |list: &[Value]| list.iter().all(|item| item["name"].is_null());
    let may_be = built.len() == written.len() && is_unnamed(built) && is_unnamed(written);
    written.iter().position(is_it).or(may_be.then_some(index))
}
