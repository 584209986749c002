//! Where the objects of a kustomization were written: what is built has no lines that anybody could edit.
//!
//! kustomize says of each object where it comes from if it is told to, in an annotation (`buildMetadata: [originAnnotations]`).
//! What is judged stays what is built without that.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use policy_core::path::Segment;
use policy_core::yaml::{Document, Places, Position, documents};
use policy_core::{Arena, FieldPath, Request, Undecided};
use policy_manifests::{Lines, Written, each};
use serde_json::Value;

use super::{build, read_file};

const ORIGIN: &str = "config.kubernetes.io/origin";

/// The group and version, the kind, the namespace and the name of an object, as they stand in it.
type Key = [String; 4];

/// The files in which the objects of a kustomization were written.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The number of the file that each is in; `None` where it is not known.
    objects: BTreeMap<Key, Option<usize>>,
    files: Vec<File>,
}

/// A file, and what is in it once that is asked for.
#[derive(Debug)]
struct File {
    path: PathBuf,
    objects: OnceLock<Vec<Object>>,
}

/// An object as it is written.
#[derive(Debug)]
struct Object {
    kind: [String; 2],
    name: String,
    /// The text of its document, the line on which that starts, and which of its file's it is, from 1.
    text: Arc<str>,
    line: usize,
    document: usize,
    /// Where in the document it stands.
    prefix: FieldPath,
    value: Value,
}

/// Where an object was written before it was built.
pub struct Origin<'o> {
    /// The file, as reports name it.
    pub file: String,
    /// The object in it, and where its fields stand; none where it was generated.
    object: Option<(&'o Object, Places)>,
}

impl Origins {
    /// Those of a kustomization. None where its tool cannot tell: where it is a component, say, which no other can build upon.
    pub(super) fn of(dir: &Path) -> Self {
        let built = || -> anyhow::Result<Self> {
            let upon = Upon::new(dir)?;
            Ok(Origins::said(&build(&upon.0)?, &upon.0))
        };
        built().unwrap_or_default()
    }

    /// What annotations say, of paths as they are seen from a folder.
    fn said(built: &str, from: &Path) -> Self {
        let (mut origins, mut numbers) = (Origins::default(), BTreeMap::new());
        let mut arena = Arena::new();
        for document in documents(built) {
            each(&document, "", &arena, |object| {
                let Ok((request, _)) = object else { return };
                let (Ok(key), Ok(said)) = (key(&request), annotation(&request)) else { return };
                let path = file(&said).and_then(|file| from.join(file).canonicalize().ok());
                let number = path.map(|path| {
                    *numbers.entry(path).or_insert_with_key(|path| {
                        origins.files.push(File { path: path.clone(), objects: OnceLock::new() });
                        origins.files.len() - 1
                    })
                });
                // Two of one name: of which of them something is said cannot be told.
                origins.objects.entry(key).and_modify(|known| *known = None).or_insert(number);
            });
            arena.reset();
        }
        origins
    }

    /// Where an object was written, by what it is called; `None` where that is not known.
    pub(super) fn origin(&self, request: &Request<'_>) -> Option<Origin<'_>> {
        let key = key(request).ok()?;
        let number = self.objects.get(&key)?.as_ref()?;
        let File { path, objects } = self.files.get(*number)?;
        let objects = objects.get_or_init(|| read_file(path).map(|text| written(&text)).unwrap_or_default());
        let [version, kind, _, name] = key;
        // It may have got a namespace when it was built, and its name a prefix or suffix: the longest is the nearest.
        let is_it = |object: &&Object| object.kind == [&*version, &*kind] && name.contains(&object.name);
        let object = objects.iter().filter(is_it).max_by_key(|object| object.name.len());
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
        let file = path.strip_prefix(here).unwrap_or(path).display().to_string();
        Some(Origin { file, object: object.map(|object| (object, object.as_document().places())) })
    }
}

/// The objects in the text of a file.
fn written(text: &str) -> Vec<Object> {
    let (mut objects, mut arena) = (Vec::new(), Arena::new());
    for (i, document) in documents(text).iter().enumerate() {
        let text: Arc<str> = document.text.into();
        each(document, "", &arena, |object| {
            let Ok((request, prefix)) = object else { return };
            let Ok([version, kind, _, name]) = key(&request) else { return };
            let (text, line, prefix) = (text.clone(), document.line, prefix.clone());
            let value = value(&request);
            objects.push(Object { kind: [version, kind], name, text, line, document: i + 1, prefix, value });
        });
        arena.reset();
    }
    objects
}

impl Object {
    fn as_document(&self) -> Document<'_> {
        Document { text: &self.text, line: self.line }
    }
}

impl Origin<'_> {
    /// Which document of the file it is, from 1.
    pub fn document(&self) -> usize {
        self.object.as_ref().map_or(1, |(object, _)| object.document)
    }

    /// Where a field stands, and what is written there, if the object that was built has the same.
    pub fn place(&self, path: &FieldPath, built: &Value) -> (Position, Option<Written>) {
        let Some((object, places)) = &self.object else {
            return (Position { line: 1, column: 1 }, None);
        };
        let values = |path: &FieldPath| {
            let pointer = path.pointer();
            (object.value.pointer(&pointer), built.pointer(&pointer))
        };
        // Another item may stand at that number: only the list is the same then.
        let to = |count: usize| FieldPath(path.0.iter().take(count).cloned().collect());
        let is_other = |list: &usize| {
            matches!(path.0.get(*list), Some(Segment::Index(_)))
                && !is_same_item(values(&to(list + 1)), values(&to(*list)))
        };
        let other = (0..path.0.len()).find(is_other);
        let nearest = other.map_or_else(|| path.clone(), to);
        let position = places.of(&nearest.below(&object.prefix));
        let is_same = other.is_none()
            && match values(path) {
                (Some(Value::Object(_)), Some(Value::Object(_)))
                | (Some(Value::Array(_)), Some(Value::Array(_))) => true,
                (written, built) => written == built,
            };
        let line = (position.line + 1).saturating_sub(object.line);
        let written = is_same.then(|| Lines::of(&object.text).written(Position { line, ..position }));
        (position, written.flatten())
    }
}

/// Whether what stands at a number in a list that is written, and in one that was built, is the same item: by its name, or for all
/// that can be told.
fn is_same_item(items: (Option<&Value>, Option<&Value>), lists: (Option<&Value>, Option<&Value>)) -> bool {
    let (Some(written), Some(built)) = items else { return items == (None, None) };
    let length = |list: Option<&Value>| list.and_then(Value::as_array).map(Vec::len);
    match (&written["name"], &built["name"]) {
        (Value::Null, Value::Null) => written == built || length(lists.0) == length(lists.1),
        (written, built) => written == built,
    }
}

/// The object of a request, to be compared.
pub fn value(request: &Request<'_>) -> Value {
    let value = request.object.value().ok().flatten();
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// What an object is called in what is built.
fn key(request: &Request<'_>) -> Result<Key, Undecided> {
    let at = |key| request.object.at(key).text().map(str::to_owned);
    Ok([at("apiVersion")?, at("kind")?, at("metadata.namespace")?, at("metadata.name")?])
}

fn annotation(request: &Request<'_>) -> Result<String, Undecided> {
    Ok(request.object.at("metadata.annotations").key(ORIGIN).text()?.to_owned())
}

/// The file that an annotation names: the one that holds the object, or the kustomization that generates it. What comes from another
/// repository is in no file here.
fn file(said: &str) -> Option<&str> {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    if value("repo").is_some() {
        return None;
    }
    value("path").or_else(|| value("configuredIn")).map(|file| file.trim_matches(['"', '\'']))
}

/// A kustomization upon another, which says where objects come from; its folder goes with it.
struct Upon(PathBuf);

impl Upon {
    fn new(dir: &Path) -> std::io::Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("pratique-origins-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().canonicalize()?.join(name);
        // kustomize follows no absolute path.
        let is_name = |component: &Component<'_>| matches!(component, Component::Normal(_));
        let up = folder.components().filter(is_name).map(|_| "..");
        let below = dir.canonicalize()?;
        let below = below.components().filter(is_name).map(|component| component.as_os_str());
        let path: PathBuf = up.map(std::ffi::OsStr::new).chain(below).collect();
        std::fs::create_dir(&folder)?;
        let upon = Upon(folder);
        let text =
            serde_json::json!({"resources": [path], "buildMetadata": ["originAnnotations"]}).to_string();
        std::fs::write(upon.0.join("kustomization.yaml"), text)?;
        Ok(upon)
    }
}

impl Drop for Upon {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
