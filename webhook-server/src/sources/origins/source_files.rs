//! The objects that are written in a file, and which of them became one that was built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use policy_core::yaml::{Document, FieldPositions, documents};
use policy_core::{Arena, FieldPath};
use policy_manifests::each;
use serde_json::Value;

use super::{ObjectKey, key, value};
use crate::sources::{KUSTOMIZATIONS, is_manifest, name, read_file};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// The group and version, and the kind.
type Kind = [String; 2];

/// A file, and what is in it once that is asked for.
#[derive(Debug)]
pub(super) struct SourceFile {
    path: PathBuf,
    /// The names of what was built of it, by kind.
    built: BTreeMap<Kind, BTreeSet<String>>,
    content: OnceLock<Option<FileContent>>,
}

#[derive(Debug, Default)]
struct FileContent {
    documents: Vec<DocumentText>,
    objects: BTreeMap<Kind, ObjectsByName>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct ObjectsByName {
    /// By name: several, where they are in different namespaces.
    named: BTreeMap<String, Vec<SourceObject>>,
    /// What was put before and behind all of these names when they were built, once for each time that they were.
    affixes: Vec<(String, String)>,
}

/// A document of the file.
pub(super) struct DocumentText {
    pub(super) text: String,
    /// The line of the file on which it starts, from 1.
    pub(super) line: usize,
    /// Which of the file's it is, from 1.
    pub(super) number: usize,
    places: OnceLock<FieldPositions>,
}

/// An object as it is written.
#[derive(Debug)]
pub(super) struct SourceObject {
    namespace: String,
    /// The index of its document, and where in that it stands.
    document: usize,
    pub(super) prefix: FieldPath,
    pub(super) value: Value,
}

/// An object in its document.
#[derive(Clone, Copy)]
pub(super) struct ObjectInDocument<'o> {
    pub(super) document: &'o DocumentText,
    pub(super) object: &'o SourceObject,
}

impl std::fmt::Debug for DocumentText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("line", &self.line).finish_non_exhaustive()
    }
}

impl DocumentText {
    /// Where its fields stand.
    pub(super) fn places(&self) -> &FieldPositions {
        self.places.get_or_init(|| Document { text: &self.text, line: self.line }.places())
    }
}

impl SourceFile {
    pub(super) fn new(path: PathBuf) -> Self {
        SourceFile { path, built: BTreeMap::new(), content: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that an object was built of it.
    pub(super) fn add(&mut self, key: &ObjectKey) {
        let [version, kind, _, name] = key.clone();
        self.built.entry([version, kind]).or_default().insert(name);
    }

    /// The object that this one was built of: `None` if there is no such file, `Some(None)` if it is not in it, or may be one of
    /// several.
    pub(super) fn find(&self, built: &ObjectKey) -> Option<Option<ObjectInDocument<'_>>> {
        let content = self.content.get_or_init(|| FileContent::read(&self.path, &self.built)).as_ref()?;
        let [version, kind, namespace, name] = built;
        let objects = content.objects.get(&[version.clone(), kind.clone()]);
        let object = objects.and_then(|objects| objects.find(namespace, name));
        Some(object.and_then(|object| {
            Some(ObjectInDocument { document: content.documents.get(object.document)?, object })
        }))
    }
}

impl FileContent {
    /// Reads a file, if it is one that holds manifests: what an annotation names could be anything.
    fn read(path: &Path, built: &BTreeMap<Kind, BTreeSet<String>>) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let is_one = is_manifest(path) || KUSTOMIZATIONS.contains(&name(path).as_str());
        if !is_one || !metadata.is_file() || metadata.len() > LARGEST {
            return None;
        }
        let text = read_file(path).ok()?;
        let (mut content, mut arena) = (FileContent::default(), Arena::new());
        for (index, document) in documents(&text).iter().enumerate() {
            each(document, "", &arena, |object| {
                let Ok((request, prefix)) = object else { return };
                let Ok([version, kind, namespace, name]) = key(&request) else { return };
                let of_kind = content.objects.entry([version, kind]).or_default();
                let (prefix, value) = (prefix.clone(), value(&request));
                of_kind.named.entry(name).or_default().push(SourceObject {
                    namespace,
                    document: index,
                    prefix,
                    value,
                });
            });
            let (text, line) = (document.text.to_owned(), document.line);
            content.documents.push(DocumentText { text, line, number: index + 1, places: OnceLock::new() });
            arena.reset();
        }
        for (kind, objects) in &mut content.objects {
            objects.affixes = built.get(kind).map(|built| affixes(&objects.named, built)).unwrap_or_default();
        }
        Some(content)
    }
}

/// What may have been put before and behind the names when they were built: with it each of them is one that was built.
fn affixes(written: &BTreeMap<String, Vec<SourceObject>>, built: &BTreeSet<String>) -> Vec<(String, String)> {
    // The longest stands in the fewest others.
    let Some(longest) = written.keys().max_by_key(|name| name.len()) else { return Vec::new() };
    let mut found = BTreeSet::new();
    for name in built {
        for (at, _) in name.match_indices(longest.as_str()) {
            let (before, rest) = name.split_at(at);
            found.insert((before, rest.strip_prefix(longest.as_str()).unwrap_or_default()));
        }
    }
    let fits = |(before, behind): &(&str, &str)| {
        written.keys().all(|name| built.contains([before, name.as_str(), behind].concat().as_str()))
    };
    let all = found.into_iter().filter(fits);
    all.map(|(before, behind)| (before.to_owned(), behind.to_owned())).collect()
}

impl ObjectsByName {
    fn find(&self, namespace: &str, name: &str) -> Option<&SourceObject> {
        let written = self.written(name)?;
        let objects = self.named.get(written)?;
        let in_namespace = |wanted: &str| {
            let mut those = objects.iter().filter(|object| object.namespace == wanted);
            those.next().filter(|_| those.next().is_none())
        };
        match objects.as_slice() {
            [one] => Some(one),
            _ => in_namespace(namespace).or_else(|| in_namespace("")),
        }
    }

    /// The name that became this one: by what was put around all of them; or, where some of them were not built, by itself.
    fn written(&self, built: &str) -> Option<&str> {
        let name = |name: &str| self.named.get_key_value(name).map(|(name, _)| name.as_str());
        let bare = |(before, behind): &(String, String)| {
            let bare = built.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?;
            Some((before.len() + behind.len(), name(bare)?))
        };
        if !self.affixes.is_empty() {
            let least = self.affixes.iter().filter_map(bare).min()?;
            let is_other = |other: (usize, &str)| other.0 == least.0 && other.1 != least.1;
            return (!self.affixes.iter().filter_map(bare).any(is_other)).then_some(least.1);
        }
        let mut within = self.named.keys().filter(|name| built.contains(name.as_str()));
        name(built).or_else(|| within.next().filter(|_| within.next().is_none()).map(String::as_str))
    }
}
