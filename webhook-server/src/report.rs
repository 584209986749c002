//! What `check` and `demo` found, and the forms in which it is printed.

mod human;

use std::io::Write as _;

use policy_core::patch::Operation;
use policy_core::path::printable;
use policy_core::request::api_version;
use policy_core::{Outcome, Request};
use serde::Serialize;

use crate::args::{End, Output};
use crate::exceptions::Exception;
pub(crate) use human::{GREEN, RED, YELLOW, style};

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// A row for every object and policy whose scope takes it.
    pub rows: Vec<Row>,
    /// What could not be read: `file:line:column: why`.
    pub errors: Vec<String>,
    /// What is wrong beside the verdicts, such as an exception that nothing needs: `file:line:column: what`.
    pub failures: Vec<String>,
    /// What a reader should know beside the verdicts.
    pub notes: Vec<String>,
    /// How many objects were judged, also those that no policy takes.
    pub objects: usize,
    judged: usize,
    summary: [usize; 3],
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
    /// As [`crate::input::Source`] names it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The document of the stream.
    pub document: usize,
}

/// The name of an object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "they are Kubernetes' own words")]
pub struct ObjectName {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
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

impl ObjectName {
    /// The name of the request's object.
    pub fn of(request: &Request<'_>) -> Self {
        let kind = &request.kind;
        ObjectName {
            api_version: api_version(kind.group, kind.version),
            kind: kind.name.to_owned(),
            namespace: request.namespace.to_owned(),
            name: request.display_name().unwrap_or_default().to_owned(),
        }
    }
}

/// `Deployment shop/web`, or `Namespace shop` for what lives in no namespace.
impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", printable(&self.kind), printable(&self.namespace), printable(&self.name))
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct Json<'a> {
    verdicts: &'a [Row],
    summary: Summary,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    errors: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    failures: &'a [String],
}

#[derive(Serialize)]
struct Summary {
    objects: usize,
    denied: usize,
    warned: usize,
    patched: usize,
}

impl Report {
    /// Counts an object by the outcome of all its rows; `is_judged` if it has any.
    pub fn count(&mut self, outcome: Outcome, is_judged: bool) {
        self.objects += 1;
        self.judged += usize::from(is_judged);
        let [denied, warned, patched] = &mut self.summary;
        match outcome {
            Outcome::Allow => {}
            Outcome::Warn => *warned += 1,
            Outcome::Patch => *patched += 1,
            Outcome::Deny => *denied += 1,
        }
    }

    /// Adds another report after this one.
    pub fn extend(&mut self, other: Report) {
        self.rows.extend(other.rows);
        self.errors.extend(other.errors);
        self.failures.extend(other.failures);
        self.notes.extend(other.notes);
        self.objects += other.objects;
        self.judged += other.judged;
        for (sum, count) in self.summary.iter_mut().zip(other.summary) {
            *sum += count;
        }
    }

    /// How the command ends.
    pub fn end(&self) -> End {
        match self.summary {
            _ if !self.errors.is_empty() => End::Unreadable,
            [0, ..] if self.failures.is_empty() => End::Well,
            _ => End::Denied,
        }
    }

    /// Prints verdicts on standard output and errors on standard error.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&self, output: Output) -> std::io::Result<()> {
        match output {
            Output::Human => self.human()?,
            Output::Json => {
                let mut out = std::io::BufWriter::new(std::io::stdout().lock());
                serde_json::to_writer(
                    &mut out,
                    &Json {
                        verdicts: &self.rows,
                        summary: self.summary(),
                        errors: &self.errors,
                        failures: &self.failures,
                    },
                )?;
                writeln!(out)?;
                out.flush()?;
            }
        }
        for note in &self.notes {
            anstream::eprintln!("{YELLOW}note{YELLOW:#} {}", printable(note));
        }
        for error in self.failures.iter().chain(&self.errors) {
            anstream::eprintln!("{RED}error{RED:#} {}", printable(error));
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        let [denied, warned, patched] = self.summary;
        Summary { objects: self.objects, denied, warned, patched }
    }
}
