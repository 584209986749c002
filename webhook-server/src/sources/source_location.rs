//! Where an object and its fields stand: in the source, or where they were written before that was built.

use std::cell::OnceCell;
use std::fmt;
use std::sync::OnceLock;

use policy_core::yaml::{Document, FieldPositions, Position};
use policy_core::{FieldPath, Request};
use policy_manifests::{LineIndex, Snippet};
use serde_json::Value;

use crate::sources::{Origin, Source, value};

/// A document and where it comes from.
pub(crate) struct DocumentOrigin<'s> {
    pub(crate) source: &'s Source,
    pub(crate) document: &'s Document<'s>,
    /// Which of the source's documents it is, from 1.
    pub(crate) number: usize,
    /// The namespace of objects that name none.
    pub(crate) namespace: &'s str,
    /// Where its fields stand: most documents have no finding, and need no second look at their text.
    places: OnceCell<FieldPositions>,
    /// The lines of the source, for the same reason.
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

    /// What stands at a place.
    fn written(&self, place: Position) -> Option<Snippet> {
        self.lines.get_or_init(|| LineIndex::of(&self.source.text)).written(place)
    }
}

/// An object in a document, and where it was written.
pub(crate) struct ObjectLocation<'s, 'd> {
    at: &'s DocumentOrigin<'d>,
    request: &'s Request<'s>,
    /// Where in the document it stands.
    prefix: &'s FieldPath,
    /// Asked for where something is found: to know it takes as long as to build.
    origin: OnceCell<Option<Origin<'s>>>,
    /// The object, to be compared with what was written.
    value: OnceCell<Value>,
}

/// Where a field stands.
pub(crate) struct FieldLocation {
    pub(crate) position: Position,
    /// What is written there.
    pub(crate) written: Option<Snippet>,
    /// The line that was built, where something else is written.
    pub(crate) built: Option<String>,
}

/// A place in a file: `file:line:column`.
pub(crate) struct FilePosition<'s> {
    pub(crate) file: &'s str,
    pub(crate) position: Position,
    /// Which document of the file it is in, from 1.
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

    /// Where it begins in the source.
    pub(crate) fn start(&self) -> FilePosition<'_> {
        let position = match self.prefix.0.is_empty() {
            true => self.at.document.start(),
            false => self.at.place(self.prefix),
        };
        FilePosition { file: &self.at.source.name, position, document: self.at.number }
    }

    /// Where it begins in the file that somebody wrote.
    pub(crate) fn written_start(&self) -> FilePosition<'_> {
        match self.origin() {
            None => self.start(),
            Some(_) => self.place(&FieldPath::default()),
        }
    }

    /// The place of a field of it.
    pub(crate) fn place(&self, path: &FieldPath) -> FilePosition<'_> {
        let position = self.field(path).position;
        match self.origin() {
            None => FilePosition { position, ..self.start() },
            Some(origin) => FilePosition { file: &origin.file, position, document: origin.document() },
        }
    }

    /// Where a field of it stands, and what is written there.
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
