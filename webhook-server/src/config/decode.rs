//! Decodes an item of the configuration, with positions in errors.

use policy_core::path::Segment;
use policy_core::yaml::FieldPositions;
use policy_core::{Field, FieldPath, Value};
use serde::Deserialize;

/// Decodes an item. An error contains the invalid field and its position.
pub(super) fn decode<'a, T: Deserialize<'a>>(item: Field<'a>, places: &FieldPositions) -> anyhow::Result<T> {
    use serde_path_to_error::Segment as Step;
    let value = item.value()?.copied().unwrap_or(Value::Null);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (mut path, mut named) = (item.path(), FieldPath(Vec::new()));
        for step in error.path().iter() {
            let segment = match step {
                Step::Map { key } => Segment::Key(key.clone()),
                Step::Seq { index } => Segment::Index(*index),
                Step::Enum { .. } | Step::Unknown => break,
            };
            path.0.push(segment.clone());
            named.0.push(segment);
        }
        let (place, fault) = (places.of(&path), error.inner());
        match named.0.is_empty() {
            true => anyhow::anyhow!("{place}: {fault}"),
            false => anyhow::anyhow!("{place}: {named}: {fault}"),
        }
    })
}
