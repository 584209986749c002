//! Where the objects of a kustomization were written: what is built has no lines that anybody could edit.
//!
//! kustomize says of each object where it comes from if it is told to, in an annotation (`buildMetadata: [originAnnotations]`).
//! What is judged stays what is built without that.

mod overlay;
mod path_mapping;
mod source_files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy_core::yaml::{Position, documents};
use policy_core::{Arena, Field, FieldPath, Request, Undecided};
use policy_manifests::{Snippet, each};
use serde_json::Value;

use super::build;
use overlay::Overlay;
use source_files::{ObjectInDocument, SourceFile};

const ORIGIN: &str = "config.kubernetes.io/origin";

/// The group and version, the kind, the namespace and the name of an object, as they stand in it.
type ObjectKey = [String; 4];

/// The files in which the objects of a kustomization were written.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The number of the file that each is in; `None` where it is not known.
    objects: BTreeMap<ObjectKey, Option<usize>>,
    files: Vec<SourceFile>,
    /// From where files are named; none where all of them are named in full.
    here: Option<PathBuf>,
}

/// Where an object was written before it was built.
pub struct Origin<'o> {
    /// The file, as reports name it.
    pub file: String,
    /// The object in it; none where it was generated, or cannot be told from others.
    found: Option<ObjectInDocument<'o>>,
}

impl Origins {
    /// Those of a kustomization, named as its folder is. None where its tool cannot tell: where it is a component, say, which no
    /// other can build overlay.
    pub(super) fn of(dir: &Path) -> Self {
        let built = || -> anyhow::Result<Self> {
            let overlay = Overlay::new(dir)?;
            let here = if dir.is_absolute() { None } else { Some(std::env::current_dir()?.canonicalize()?) };
            Ok(Origins { here, ..Origins::parse(&build(overlay.folder())?, overlay.folder()) })
        };
        built().unwrap_or_default()
    }

    /// What annotations say, of paths as they are seen from a folder.
    fn parse(built: &str, from: &Path) -> Self {
        let (mut origins, mut numbers) = (Origins::default(), BTreeMap::new());
        let mut arena = Arena::new();
        for document in documents(built) {
            each(&document, "", &arena, |object| {
                let Ok((request, _)) = object else { return };
                let Ok(key) = key(&request) else { return };
                let path = file(&request, &arena).and_then(|file| from.join(file).canonicalize().ok());
                let number = path.map(|path| {
                    *numbers.entry(path).or_insert_with_key(|path| {
                        origins.files.push(SourceFile::new(path.clone()));
                        origins.files.len() - 1
                    })
                });
                if let Some(file) = number.and_then(|number| origins.files.get_mut(number)) {
                    file.add(&key);
                }
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
        let file = self.files.get((*self.objects.get(&key)?)?)?;
        let shown = match &self.here {
            Some(here) => relative(file.path(), here),
            None => file.path().to_owned(),
        };
        Some(Origin { file: shown.display().to_string(), found: file.find(&key)? })
    }
}

impl Origin<'_> {
    /// Which document of the file it is, from 1.
    pub fn document(&self) -> usize {
        self.found.map_or(1, |found| found.document.number)
    }

    /// Where a field stands, and what is written there, if the object that was built has the same.
    pub fn place(&self, path: &FieldPath, built: &Value) -> (Position, Option<Snippet>) {
        let Some(ObjectInDocument { document, object }) = self.found else {
            return (Position { line: 1, column: 1 }, None);
        };
        let (path, is_same) = path_mapping::way(path, built, &object.value);
        let position = document.places().of(&path.below(&object.prefix));
        let line = position.line.checked_sub(document.line).and_then(|at| document.text.lines().nth(at));
        (position, line.filter(|_| is_same).and_then(|line| Snippet::at(line, position.column)))
    }
}

/// The object of a request, to be compared.
pub fn value(request: &Request<'_>) -> Value {
    let value = request.object.value().ok().flatten();
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// What an object is called in what is built, or written.
fn key(request: &Request<'_>) -> Result<ObjectKey, Undecided> {
    let at = |key| request.object.at(key).text().map(str::to_owned);
    Ok([at("apiVersion")?, at("kind")?, at("metadata.namespace")?, at("metadata.name")?])
}

/// The file that the annotation of an object names: the one that holds it, or the kustomization that generates it. What comes from
/// another repository is in no file here.
fn file<'a>(request: &Request<'a>, arena: &'a Arena) -> Option<&'a str> {
    let message = request.object.at("metadata.annotations").key(ORIGIN).text().ok()?;
    let message = documents(message).first()?.decode(arena).ok()??;
    let at = |key| Field::root(message, arena).at(key).str().ok().flatten();
    match at("repo") {
        Some(_) => None,
        None => at("path").or(at("configuredIn")),
    }
}

/// A path as it is seen from a folder; both are absolute.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let common = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}
