//! Builds a document's value from the parser's events.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::scalar;
use crate::path::excerpt;
use crate::value::{Arena, Member, Value, repeated_key};

/// The maximum nesting depth, as in JSON.
const MAX_DEPTH: usize = 128;
/// The maximum number of values in a document, with aliases expanded.
const MAX_VALUES: usize = 2_000_000;
/// The maximum number of members for which each new key is compared with all earlier ones.
const SHORT: usize = 32;

/// Builds the value from events, without recursion.
pub(super) struct ValueBuilder<'a> {
    arena: &'a Arena,
    open: Vec<OpenCollection<'a>>,
    items: Vec<Value<'a>>,
    members: Vec<Member<'a>>,
    /// The value of each anchor, and its size.
    anchors: BTreeMap<usize, (Value<'a>, Size)>,
    values: usize,
    root: Option<Value<'a>>,
}

/// A list or mapping that is not yet complete.
struct OpenCollection<'a> {
    kind: CollectionKind<'a>,
    start: usize,
    anchor: usize,
    values_before: usize,
    /// The depth of its deepest value so far.
    depth: usize,
}

/// The size of a value, with aliases expanded.
#[derive(Clone, Copy)]
struct Size {
    values: usize,
    depth: usize,
}

enum CollectionKind<'a> {
    List,
    Mapping { key: Option<PendingKey<'a>>, merges: Vec<&'a [Member<'a>]> },
}

/// A key that waits for its value.
enum PendingKey<'a> {
    Name(&'a str),
    Merge,
}

const MERGE: &str = "<<";

impl<'a> ValueBuilder<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        ValueBuilder {
            arena,
            open: Vec::new(),
            items: Vec::new(),
            members: Vec::new(),
            anchors: BTreeMap::new(),
            values: 0,
            root: None,
        }
    }

    /// The document's value, after the last event.
    pub(super) fn root(&self) -> Option<Value<'a>> {
        self.root
    }

    /// Processes the next event.
    pub(super) fn take(&mut self, event: Event<'a>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.key_expected() {
                    return self.key(text, style, tag.as_deref());
                }
                let value = scalar::value(text, style, tag.as_deref(), self.arena)?;
                self.keep(anchor, value, Size { values: 1, depth: 0 });
                self.place(value, Size { values: 1, depth: 0 })
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(CollectionKind::List, anchor, tag.as_deref(), "seq")
            }
            Event::MappingStart(anchor, tag) => self.open(
                CollectionKind::Mapping { key: None, merges: Vec::new() },
                anchor,
                tag.as_deref(),
                "map",
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(&(value, size)) = self.anchors.get(&anchor) else {
                    return Err("an alias is within its own anchor".to_owned());
                };
                self.place(value, size)
            }
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document starts here".to_owned()),
            _ => Ok(()),
        }
    }

    fn key_expected(&self) -> bool {
        matches!(
            self.open.last(),
            Some(OpenCollection { kind: CollectionKind::Mapping { key: None, .. }, .. })
        )
    }

    fn key(&mut self, text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<(), String> {
        let text = scalar::borrow(text, self.arena);
        let plain = style == ScalarStyle::Plain;
        if tag.is_some() || (plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")) {
            return Err("a key must be a string without a tag".to_owned());
        }
        if let Some(OpenCollection { kind: CollectionKind::Mapping { key, .. }, start, .. }) =
            self.open.last_mut()
        {
            // Most mappings are short, so the error points to the second key. For long mappings, the error points to the end of
            // the mapping.
            let own = self.members.get(*start..).unwrap_or_default();
            if own.len() <= SHORT && own.iter().any(|(earlier, _)| *earlier == text) {
                return Err(format!("duplicate key `{}` in a mapping", excerpt(text)));
            }
            // A quoted `<<` is a normal key.
            *key = Some(if plain && text == MERGE { PendingKey::Merge } else { PendingKey::Name(text) });
        }
        Ok(())
    }

    fn open(
        &mut self,
        kind: CollectionKind<'a>,
        anchor: usize,
        tag: Option<&Tag>,
        name: &str,
    ) -> Result<(), String> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix != name) {
            return Err("the tag has no JSON equivalent".to_owned());
        }
        if self.key_expected() {
            return Err("a key must be a string".to_owned());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("values are nested more than {MAX_DEPTH} levels deep"));
        }
        let start = match kind {
            CollectionKind::List => self.items.len(),
            CollectionKind::Mapping { .. } => self.members.len(),
        };
        self.open.push(OpenCollection { kind, start, anchor, values_before: self.values, depth: 0 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(OpenCollection { kind, start, anchor, values_before, depth }) = self.open.pop() else {
            return Err("an end without a start".to_owned());
        };
        let value = match kind {
            CollectionKind::List => {
                let list = self.arena.list(self.items.get(start..).unwrap_or_default());
                self.items.truncate(start);
                list
            }
            CollectionKind::Mapping { merges, .. } => {
                let own = self.members.get(start..).unwrap_or_default();
                if let Some(key) = (own.len() > SHORT).then(|| repeated_key(own)).flatten() {
                    return Err(format!("duplicate key `{}` in the mapping that ends here", excerpt(key)));
                }
                self.merge(start, &merges);
                let object = self.arena.object(self.members.get(start..).unwrap_or_default());
                self.members.truncate(start);
                object
            }
        };
        let depth = depth + 1;
        self.keep(anchor, value, Size { values: self.values - values_before + 1, depth });
        self.place(value, Size { values: 1, depth })
    }

    /// Adds the members of merged mappings (`<<`) that the mapping does not have itself. If several merged mappings have the same
    /// key, the first one counts.
    fn merge(&mut self, start: usize, merges: &[&'a [Member<'a>]]) {
        if merges.is_empty() {
            return;
        }
        let own = self.members.get(start..).unwrap_or_default();
        let mut keys: BTreeSet<&str> = own.iter().map(|(key, _)| *key).collect();
        for member in merges.iter().copied().flatten() {
            if keys.insert(member.0) {
                self.members.push(*member);
            }
        }
    }

    fn keep(&mut self, anchor: usize, value: Value<'a>, size: Size) {
        if anchor > 0 {
            self.anchors.insert(anchor, (value, size));
        }
    }

    fn place(&mut self, value: Value<'a>, size: Size) -> Result<(), String> {
        self.values += size.values;
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(format!(
                "values are nested more than {MAX_DEPTH} levels deep, with aliases expanded"
            ));
        }
        if let Some(open) = self.open.last_mut() {
            open.depth = open.depth.max(size.depth);
        }
        if self.values > MAX_VALUES {
            return Err(format!("the document has more than {MAX_VALUES} values, with aliases expanded"));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(OpenCollection { kind: CollectionKind::List, .. }) => self.items.push(value),
            Some(OpenCollection { kind: CollectionKind::Mapping { key, merges }, start, .. }) => {
                match key.take() {
                    None => return Err("a key must be a string".to_owned()),
                    Some(PendingKey::Name(key)) => self.members.push((key, value)),
                    Some(PendingKey::Merge) if !merges.is_empty() => {
                        return Err("duplicate `<<` in a mapping".to_owned());
                    }
                    Some(PendingKey::Merge) => {
                        *merges = merged(value)?;
                        self.values += merges.iter().map(|members| members.len()).sum::<usize>();
                        unambiguous(self.members.get(*start..).unwrap_or_default(), merges)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The mappings that `<<` merges: one mapping, or a list of mappings.
fn merged<'a>(value: Value<'a>) -> Result<Vec<&'a [Member<'a>]>, String> {
    let members = |value: &Value<'a>| match value {
        Value::Object(members) => Ok(*members),
        other => Err(format!("`<<` must merge a mapping, is {}", other.describe())),
    };
    match value {
        Value::Array(items) => items.iter().map(members).collect(),
        other => Ok(vec![members(&other)?]),
    }
}

/// Rejects a `<<` after a key that the merged mapping also has: `kubectl` uses the merged value, `kustomize` the explicit one.
fn unambiguous(own: &[Member<'_>], merges: &[&[Member<'_>]]) -> Result<(), String> {
    if own.is_empty() {
        return Ok(());
    }
    let own: BTreeSet<&str> = own.iter().map(|(key, _)| *key).collect();
    match merges.iter().copied().flatten().find(|(key, _)| own.contains(key)) {
        Some((key, _)) => Err(format!(
            "key `{}` before `<<` is also in the merged mapping, and kubectl and kustomize use different values: put `<<` first",
            excerpt(key)
        )),
        None => Ok(()),
    }
}
