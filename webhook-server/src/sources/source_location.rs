//! Locations of objects and their fields: in the source or, for a kustomization, in the files that it was rendered from.

use std::cell::OnceCell;
use std::fmt;
use std::sync::OnceLock;

use policy_core::yaml::{Document, FieldPositions, Position};
use policy_core::{FieldPath, Request};
use policy_manifests::{LineIndex, Snippet};
use serde_json::Value;

use crate::sources::{Origin, Source, value};

/// A document and its source.
pub(crate) struct DocumentOrigin<'s> {
    pub(crate) source: &'s Source,
    pub(crate) document: &'s Document<'s>,
    /// The number of the document in the source, from 1.
    pub(crate) number: usize,
    /// The namespace of objects that do not set one.
    pub(crate) namespace: &'s str,
    /// The positions of its fields, computed on first use because most documents have no finding.
    places: OnceCell<FieldPositions>,
    /// The lines of the source, also computed on first use.
    lines: &'s OnceLock<LineIndex<'s>>,
}

impl<'s> DocumentOrigin<'s> {
    pub(crate) fn new(
        source: &'s Source,
        document: &'s Document<'s>,
        number: usize,
        namespace: &'s str,
        lines: &'s OnceLock<LineIndex<'s>>,
    ) -> Self {
        DocumentOrigin { source, document, number, namespace, places: OnceCell::new(), lines }
    }

    fn place(&self, path: &FieldPath) -> Position {
        self.places.get_or_init(|| self.document.places()).of(path)
    }

    /// The source text at a position.
    fn written(&self, place: Position) -> Option<Snippet> {
        self.lines.get_or_init(|| LineIndex::of(&self.source.text)).written(place)
    }
}

/// An object in a document, and its source location.
pub(crate) struct ObjectLocation<'s, 'd> {
    at: &'s DocumentOrigin<'d>,
    request: &'s Request<'s>,
    /// The path of the object in the document.
    prefix: &'s FieldPath,
    /// Computed only if there is a finding, because it requires rendering the kustomization again.
    origin: OnceCell<Option<Origin<'s>>>,
    /// The object, to compare it with its source.
    value: OnceCell<Value>,
}

/// The location of a field.
pub(crate) struct FieldLocation {
    pub(crate) position: Position,
    /// The source text at the position.
    pub(crate) written: Option<Snippet>,
    /// The rendered line, if the source differs from it.
    pub(crate) built: Option<String>,
}

/// A location in a file: `file:line:column`.
pub(crate) struct FilePosition<'s> {
    pub(crate) file: &'s str,
    pub(crate) position: Position,
    /// The number of the document in the file, from 1.
    pub(crate) document: usize,
}

impl fmt::Display for FilePosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

impl<'s, 'd> ObjectLocation<'s, 'd> {
    pub(crate) fn new(at: &'s DocumentOrigin<'d>, request: &'s Request<'s>, prefix: &'s FieldPath) -> Self {
        ObjectLocation { at, request, prefix, origin: OnceCell::new(), value: OnceCell::new() }
    }

    fn origin(&self) -> Option<&Origin<'s>> {
        self.origin.get_or_init(|| self.at.source.origin(self.request)).as_ref()
    }

    /// The start of the object in the source.
    pub(crate) fn start(&self) -> FilePosition<'_> {
        let position = match self.prefix.0.is_empty() {
            true => self.at.document.start(),
            false => self.at.place(self.prefix),
        };
        FilePosition { file: &self.at.source.name, position, document: self.at.number }
    }

    /// The start of the object in the file that you can edit.
    pub(crate) fn written_start(&self) -> FilePosition<'_> {
        match self.origin() {
            None => self.start(),
            Some(_) => self.place(&FieldPath::default()),
        }
    }

    /// The location of a field, without its text.
    pub(crate) fn place(&self, path: &FieldPath) -> FilePosition<'_> {
        let position = self.field(path).position;
        match self.origin() {
            None => FilePosition { position, ..self.start() },
            Some(origin) => FilePosition { file: &origin.file, position, document: origin.document() },
        }
    }

    /// The location of a field, with its text.
    pub(crate) fn field(&self, path: &FieldPath) -> FieldLocation {
        let built = || {
            let position = self.at.place(&path.below(self.prefix));
            (position, self.at.written(position))
        };
        let Some(origin) = self.origin() else {
            let (position, written) = built();
            return FieldLocation { position, written, built: None };
        };
        let value = self.value.get_or_init(|| value(self.request));
        let (position, written) = origin.place(path, value);
        let other = if written.is_none() { built().1 } else { None };
        FieldLocation { position, written, built: other.map(|built| built.line.trim().to_owned()) }
    }
}
