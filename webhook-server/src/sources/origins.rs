//! Finds the source locations of the objects of a kustomization, because the rendered output has no lines that you can edit.
//!
//! With `buildMetadata: [originAnnotations]`, kustomize writes the origin of each object into an annotation. Policies still
//! evaluate the output without these annotations.

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

/// The group and version, the kind, the namespace and the name of an object, as written in it.
type ObjectKey = [String; 4];

/// The source files of the objects of a kustomization.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The index of the file of each object; `None` if it is not known.
    objects: BTreeMap<ObjectKey, Option<usize>>,
    files: Vec<SourceFile>,
    /// The directory that file names are relative to; `None` for absolute names.
    here: Option<PathBuf>,
}

/// The source location of a rendered object.
pub struct Origin<'o> {
    /// The file, as reports name it.
    pub file: String,
    /// The object in the file; `None` if it was generated or is ambiguous.
    found: Option<ObjectInDocument<'o>>,
}

impl Origins {
    /// The origins of a kustomization, with relative or absolute file names like `dir`. Empty if the overlay cannot be rendered,
    /// for example because the kustomization is a component.
    pub(super) fn of(dir: &Path) -> Self {
        let built = || -> anyhow::Result<Self> {
            let overlay = Overlay::new(dir)?;
            let here = if dir.is_absolute() { None } else { Some(std::env::current_dir()?.canonicalize()?) };
            Ok(Origins { here, ..Origins::parse(&build(overlay.folder())?, overlay.folder()) })
        };
        built().unwrap_or_default()
    }

    /// Reads the annotations in rendered output. Their paths are relative to a folder.
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
                // If two objects have the same key, their origin is ambiguous.
                origins.objects.entry(key).and_modify(|known| *known = None).or_insert(number);
            });
            arena.reset();
        }
        origins
    }

    /// The source location of an object, by its key; `None` if it is not known.
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
    /// The number of its document in the file, from 1.
    pub fn document(&self) -> usize {
        self.found.map_or(1, |found| found.document.number)
    }

    /// The position of a field, and the source text there if the rendered object has the same value.
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

/// The object of a request, to compare it.
pub fn value(request: &Request<'_>) -> Value {
    let value = request.object.value().ok().flatten();
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// The key of an object, in the rendered output or in a source file.
fn key(request: &Request<'_>) -> Result<ObjectKey, Undecided> {
    let at = |key| request.object.at(key).text().map(str::to_owned);
    Ok([at("apiVersion")?, at("kind")?, at("metadata.namespace")?, at("metadata.name")?])
}

/// The file in the origin annotation of an object: the one that contains it, or the kustomization that generates it. `None` for
/// objects from another repository.
fn file<'a>(request: &Request<'a>, arena: &'a Arena) -> Option<&'a str> {
    let message = request.object.at("metadata.annotations").key(ORIGIN).text().ok()?;
    let message = documents(message).first()?.decode(arena).ok()??;
    let at = |key| Field::root(message, arena).at(key).str().ok().flatten();
    match at("repo") {
        Some(_) => None,
        None => at("path").or(at("configuredIn")),
    }
}

/// A path relative to a folder; both arguments must be absolute.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let common = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}
