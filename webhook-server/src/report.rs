//! The report of `check`, and its output formats. Reports are printed one object at a time.

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

/// The results for some objects, in the order of the objects.
#[derive(Debug, Default)]
pub struct Report {
    /// Every object, including those that no policy evaluates.
    pub objects: Vec<ObjectReport>,
    /// Read errors: `file:line:column: reason`.
    pub errors: Vec<String>,
    /// Failures other than denials, such as an unused exception: `file:line:column: message`.
    pub failures: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// An object, and a result for every policy whose scope includes it.
#[derive(Debug, Default)]
pub struct ObjectReport {
    /// The results.
    pub results: Vec<PolicyResult>,
    /// Whether any policy has evaluated the object or its pods.
    pub is_evaluated: bool,
}

impl ObjectReport {
    /// The most severe outcome of its results.
    pub fn outcome(&self) -> Outcome {
        self.results.iter().map(|result| result.outcome).max().unwrap_or(Outcome::Allow)
    }
}

/// Receives results, in the order of the sources.
pub trait ReportSink: Send {
    /// Receives the next results.
    fn take(&mut self, part: Report);
}

/// Keeps all results in memory.
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

/// The totals of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) summary: RunSummary,
    /// The number of objects that at least one policy has evaluated.
    pub(crate) evaluated: usize,
    /// The number of warnings, including those for denied or changed objects.
    pub(crate) warnings: usize,
    /// The number of excepted findings.
    pub(crate) excepted: usize,
    /// The number of findings that the baseline accepts.
    pub(crate) accepted: usize,
    pub(crate) errors: Vec<String>,
    pub(crate) failures: Vec<String>,
}

/// The number of objects for each outcome.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct RunSummary {
    objects: usize,
    denied: usize,
    warned: usize,
    patched: usize,
}

/// The file, line and column at the start of an error, if it has them: `file:line:column: reason`.
fn place_of(error: &str) -> Option<(&str, usize, usize)> {
    error.match_indices(": ").find_map(|(end, _)| {
        let (rest, column) = error.get(..end)?.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        Some((file, line.parse().ok()?, column.parse().ok()?))
    })
}

/// The level of a denial or a warning in SARIF and in GitHub annotations.
fn level(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Deny { "error" } else { "warning" }
}
