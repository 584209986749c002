//! What `check` found, and the forms in which it is printed, object after object.

mod baseline;
mod form;
mod github;
mod human;
mod json;
mod junit;
mod printer;
mod sarif;

use policy_core::Outcome;
use policy_core::patch::Operation;
use policy_core::path::printable;
use policy_manifests::{ObjectName, Written};
use serde::Serialize;

use crate::config::exceptions::Exception;
pub(crate) use human::{BOLD, GREEN, RED, YELLOW, style, wrapped};
pub use printer::Printer;

/// What was found in some objects, in their order.
#[derive(Debug, Default)]
pub struct Report {
    /// Every object, also those that no policy takes.
    pub objects: Vec<Judged>,
    /// What could not be read: `file:line:column: why`.
    pub errors: Vec<String>,
    /// What is wrong beside the verdicts, such as an exception that nothing needs: `file:line:column: what`.
    pub failures: Vec<String>,
    /// What a reader should know beside the verdicts.
    pub notes: Vec<String>,
}

/// An object, and a row for every policy whose scope takes it.
#[derive(Debug, Default)]
pub struct Judged {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether any policy has judged it, or the pods that it makes.
    pub is_judged: bool,
}

impl Judged {
    /// What became of it, by all its rows.
    pub fn outcome(&self) -> Outcome {
        self.rows.iter().map(|row| row.outcome).max().unwrap_or(Outcome::Allow)
    }
}

/// Who takes what was found, in the order of the sources.
pub trait Take: Send {
    /// Takes what was found next.
    fn take(&mut self, part: Report);
}

/// All of it is kept.
impl Take for Report {
    fn take(&mut self, part: Report) {
        self.objects.extend(part.objects);
        self.errors.extend(part.errors);
        self.failures.extend(part.failures);
        self.notes.extend(part.notes);
    }
}

impl Report {
    /// The rows of all objects.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.objects.iter().flat_map(|judged| &judged.rows)
    }
}

/// What a whole run has found.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) summary: Summary,
    /// How many objects any policy has judged.
    pub(crate) judged: usize,
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
pub(crate) struct Summary {
    objects: usize,
    denied: usize,
    warned: usize,
    patched: usize,
}

/// One policy's verdict on one object.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The policy.
    pub policy: &'static str,
    /// What to do about a denial.
    #[serde(skip)]
    pub remediation: &'static str,
    /// The verdict in one word.
    pub outcome: Outcome,
    /// Where the first finding stands, or the object if there is none.
    pub source: SourcePosition,
    /// Which object.
    pub object: ObjectName,
    /// `pods` where it is not about the object, but about the pods that it makes: `patch` is then what becomes of such a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<&'static str>,
    /// What is denied.
    pub denials: Vec<Found>,
    /// What is warned of.
    pub warnings: Vec<Found>,
    /// What would be denied without an exception.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excepted: Vec<ExceptedFinding>,
    /// How many more findings there were.
    #[serde(rename = "leftOut", skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// What would be changed.
    pub patch: Vec<Operation>,
}

/// A place in a source; all count from 1.
#[derive(Debug, Serialize)]
pub struct SourcePosition {
    /// As [`crate::sources::Source`] names it; of what was built, the file in which the object was written.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The document of the file.
    pub document: usize,
}

/// A finding and where it stands.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The path of the field in the object.
    pub field: String,
    /// What must be.
    pub message: String,
    /// Which part of the policy found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<&'static str>,
    /// The line of the field, or of the nearest one around it that is written down.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// The line as it is written, if that is what was judged.
    #[serde(skip)]
    pub written: Option<Written>,
    /// The line that a kustomization has made of it, where something else is written.
    #[serde(skip)]
    pub built: Option<String>,
}

impl Found {
    /// The field and what must be, in one line.
    pub(crate) fn sentence(&self) -> String {
        match self.field.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", self.field, self.message),
        }
    }
}

impl Row {
    /// What is denied and warned of, with which of the two it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Outcome, &Found)> {
        let denials = self.denials.iter().map(|found| (Outcome::Deny, found));
        denials.chain(self.warnings.iter().map(|found| (Outcome::Warn, found)))
    }

    /// What is denied, or what is warned of.
    fn of_outcome(&mut self, outcome: Outcome) -> &mut Vec<Found> {
        if outcome == Outcome::Deny { &mut self.denials } else { &mut self.warnings }
    }

    /// What tells a finding from others, wherever it stands: the policy, the control, the object, the field, and what is said, for
    /// a worse value there is another finding. In one line.
    pub(crate) fn key(&self, found: &Found) -> String {
        let control = found.control.unwrap_or("-");
        let field = if found.field.is_empty() { "-" } else { &found.field };
        let of = if self.of.is_some() { " (its pods)" } else { "" };
        let (policy, object, message) = (self.policy, &self.object, &found.message);
        printable(&format!("{policy} {control} {object}{of} {field}: {message}")).into_owned()
    }

    /// Makes the outcome what is left of it.
    pub(crate) fn settle(&mut self) {
        let left_out = self.left_out > 0 && self.outcome == Outcome::Deny;
        self.outcome = match self {
            _ if left_out || !self.denials.is_empty() => Outcome::Deny,
            _ if !self.patch.is_empty() => Outcome::Patch,
            _ if !self.warnings.is_empty() => Outcome::Warn,
            _ => Outcome::Allow,
        };
    }
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

/// A finding that an exception took back.
#[derive(Debug, Serialize)]
pub struct ExceptedFinding {
    /// What would be denied.
    #[serde(flatten)]
    pub found: Found,
    /// Why it is not.
    pub reason: String,
    /// Who answers for that.
    pub owner: String,
    /// The last day on which it is not.
    pub expires: String,
}

impl ExceptedFinding {
    /// The finding, with what the exception says.
    pub(crate) fn new(found: Found, exception: &Exception) -> Self {
        let Exception { reason, owner, expires, .. } = exception;
        ExceptedFinding { found, reason: reason.clone(), owner: owner.clone(), expires: expires.to_string() }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
