//! Decodes documents once, on all processors. The values are used as cluster data and for evaluation.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use policy_core::yaml::{Document, YamlError, documents};
use policy_core::{Arena, Value};

use crate::sources::Source;

/// Number of documents that a thread processes at a time.
const BATCH: usize = 32;

/// A document and its value.
pub(super) struct DecodedDocument<'a> {
    pub(super) document: Document<'a>,
    pub(super) value: DocumentValue<'a>,
}

/// The value of a document.
pub(super) enum DocumentValue<'a> {
    /// The document is decoded when it is evaluated.
    Later,
    /// The value, `None` for an empty document, or the reason why the document cannot be read.
    Now(Result<Option<Value<'a>>, YamlError>),
}

impl<'a> DecodedDocument<'a> {
    /// The value, decoded now if it was not decoded before.
    ///
    /// # Errors
    /// The document cannot be read.
    pub(super) fn value(&self, arena: &'a Arena) -> Result<Option<Value<'a>>, YamlError> {
        match &self.value {
            DocumentValue::Later => self.document.decode(arena),
            DocumentValue::Now(value) => value.clone(),
        }
    }

    /// A document that is decoded later.
    pub(super) fn new(document: Document<'a>) -> Self {
        DecodedDocument { document, value: DocumentValue::Later }
    }

    pub(super) fn decoded(document: Document<'a>, arena: &'a Arena) -> Self {
        let bug = || YamlError {
            position: document.start(),
            reason: "a bug in pratique: the document could not be decoded".to_owned(),
        };
        let value = catch_unwind(AssertUnwindSafe(|| document.decode(arena)));
        DecodedDocument { document, value: DocumentValue::Now(value.unwrap_or_else(|_| Err(bug()))) }
    }
}

/// An arena for each thread.
pub(super) fn arenas() -> Vec<Arena> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (0..threads).map(|_| Arena::new()).collect()
}

/// Decodes all documents of these sources. The arenas hold the values.
pub(super) fn decode<'a>(
    sources: &'a [Source],
    arenas: &'a mut [Arena],
) -> Vec<(&'a Source, Vec<DecodedDocument<'a>>)> {
    let split: Vec<(usize, Document<'a>)> = sources
        .iter()
        .enumerate()
        .flat_map(|(number, source)| documents(&source.text).into_iter().map(move |d| (number, d)))
        .collect();
    let batches: Vec<&[(usize, Document<'a>)]> = split.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let work = |arena: &'a Arena| {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(index) else { return done };
            let decoded =
                batch.iter().map(|(number, document)| (*number, DecodedDocument::decoded(*document, arena)));
            done.push((index, decoded.collect::<Vec<_>>()));
        }
    };
    let mut done: Vec<(usize, Vec<(usize, DecodedDocument<'a>)>)> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            arenas.iter_mut().take(batches.len()).map(|arena| scope.spawn(move || work(arena))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    let mut all: Vec<(&Source, Vec<DecodedDocument<'a>>)> =
        sources.iter().map(|source| (source, Vec::new())).collect();
    for (number, decoded) in done.into_iter().flat_map(|(_, batch)| batch) {
        if let Some((_, documents)) = all.get_mut(number) {
            documents.push(decoded);
        }
    }
    all
}
