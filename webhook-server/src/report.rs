//! What `check` found, and the forms in which it is printed, object after object.

mod baseline;
mod github;
mod human;
mod json;
mod junit;
mod printer;
mod sarif;
mod writer;

use policy_core::Outcome;
use policy_report::PolicyResult;
use serde::Serialize;

pub(crate) use human::{BOLD, GREEN, RED, YELLOW, style, wrapped};
pub use printer::Printer;

/// What was found in some objects, in their order.
#[derive(Debug, Default)]
pub struct Report {
    /// Every object, also those that no policy evaluates.
    pub objects: Vec<ObjectReport>,
    /// What could not be read: `file:line:column: why`.
    pub errors: Vec<String>,
    /// What is wrong beside the verdicts, such as an exception that nothing needs: `file:line:column: what`.
    pub failures: Vec<String>,
    /// What a reader should know beside the verdicts.
    pub notes: Vec<String>,
}

/// An object, and a result for every policy whose scope includes it.
#[derive(Debug, Default)]
pub struct ObjectReport {
    /// The results.
    pub results: Vec<PolicyResult>,
    /// Whether any policy has evaluated it, or the pods that it makes.
    pub is_evaluated: bool,
}

impl ObjectReport {
    /// The most severe outcome of its results.
    pub fn outcome(&self) -> Outcome {
        self.results.iter().map(|result| result.outcome).max().unwrap_or(Outcome::Allow)
    }
}

/// Who takes what was found, in the order of the sources.
pub trait ReportSink: Send {
    /// Takes what was found next.
    fn take(&mut self, part: Report);
}

/// All of it is kept.
impl ReportSink for Report {
    fn take(&mut self, part: Report) {
        self.objects.extend(part.objects);
        self.errors.extend(part.errors);
        self.failures.extend(part.failures);
        self.notes.extend(part.notes);
    }
}

impl Report {
    /// The results of all objects.
    pub fn results(&self) -> impl Iterator<Item = &PolicyResult> {
        self.objects.iter().flat_map(|object| &object.results)
    }
}

/// What a whole run has found.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) summary: RunSummary,
    /// How many objects any policy has evaluated.
    pub(crate) evaluated: usize,
    /// How many findings only warn, also of objects that are denied or changed.
    pub(crate) warnings: usize,
    /// How many findings were excepted.
    pub(crate) excepted: usize,
    /// How many findings a baseline accepts.
    pub(crate) accepted: usize,
    pub(crate) errors: Vec<String>,
    pub(crate) failures: Vec<String>,
}

/// How many objects came to what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct RunSummary {
    objects: usize,
    denied: usize,
    warned: usize,
    patched: usize,
}

/// The file, the line and the column that an error begins with, if it does: `file:line:column: why`.
fn place_of(error: &str) -> Option<(&str, usize, usize)> {
    error.match_indices(": ").find_map(|(end, _)| {
        let (rest, column) = error.get(..end)?.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        Some((file, line.parse().ok()?, column.parse().ok()?))
    })
}

/// A denial or a warning in the words of SARIF and of GitHub.
fn level(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Deny { "error" } else { "warning" }
}
