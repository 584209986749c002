//! The objects in a source file, and which of them a rendered object comes from.

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

/// A file and its content, which is read on first use.
#[derive(Debug)]
pub(super) struct SourceFile {
    path: PathBuf,
    /// The names of the rendered objects that come from it, by kind.
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
    /// The objects by name. Objects with the same name are in different namespaces.
    named: BTreeMap<String, Vec<SourceObject>>,
    /// The prefix and suffix that kustomize added to all of these names; several if the file was used several times.
    affixes: Vec<(String, String)>,
}

/// A document of the file.
pub(super) struct DocumentText {
    pub(super) text: String,
    /// The line of the file on which it starts, from 1.
    pub(super) line: usize,
    /// The number of the document in the file, from 1.
    pub(super) number: usize,
    places: OnceLock<FieldPositions>,
}

/// An object in a source file.
#[derive(Debug)]
pub(super) struct SourceObject {
    namespace: String,
    /// The index of its document. `prefix` is its path in the document.
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
    /// The positions of its fields.
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

    /// Records that a rendered object comes from this file.
    pub(super) fn add(&mut self, key: &ObjectKey) {
        let [version, kind, _, name] = key.clone();
        self.built.entry([version, kind]).or_default().insert(name);
    }

    /// The source of a rendered object: `None` if the file cannot be read, `Some(None)` if the object is not in it or the match
    /// is ambiguous.
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
    /// Reads a file only if it can contain manifests, because an annotation could name any file.
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

/// The possible prefixes and suffixes of the names: with them, each name in the file must be the name of a rendered object.
fn affixes(written: &BTreeMap<String, Vec<SourceObject>>, built: &BTreeSet<String>) -> Vec<(String, String)> {
    // The longest name is contained in the fewest other names.
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

    /// The source name of a rendered name: by the common prefix and suffix or, if there is none, by the name alone.
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
