//! One model of findings, for every report of the command line and for the playground.
//!
//! A field that is added to [`PolicyResult`] or [`ReportedFinding`] is in the JSON of both, and in the TypeScript types of the page,
//! which are made from the JSON Schema of the model ([`typescript`]).

mod typescript;

use policy_core::patch::{self, PatchOperation};
use policy_core::path::printable;
use policy_core::verdicts::PolicyVerdict;
use policy_core::{FieldPath, Finding, Outcome, Request, Verdicts};
use policy_manifests::{ObjectName, Snippet};
use schemars::JsonSchema;
use serde::Serialize;

pub use typescript::typescript;

/// A place in a source; lines, columns and documents count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceLocation {
    /// The name of the source; for rendered output, the file in which the object is written.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The document in the file.
    pub document: usize,
}

/// A finding, and where it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportedFinding {
    /// The path of the field in the object.
    pub field: String,
    /// What must hold.
    pub message: String,
    /// Which control of the policy found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<&'static str>,
    /// The line of the field, or of the nearest one around it that is written down.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// Where in the line the value starts, in UTF-16 code units from 0: for editors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// Where in the line the value ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// The line as it is written, if that is what was evaluated.
    #[serde(skip)]
    pub written: Option<Snippet>,
    /// The line that a kustomization has made of it, if something else is written.
    #[serde(skip)]
    pub built: Option<String>,
}

impl ReportedFinding {
    /// A finding at a field of what is reported, which is another than the finding's for pods; its place is not known yet.
    pub fn new(finding: &Finding, field: &FieldPath) -> Self {
        ReportedFinding {
            field: field.to_string(),
            message: finding.message.clone(),
            control: finding.control,
            line: 0,
            column: 0,
            start: None,
            end: None,
            written: None,
            built: None,
        }
    }

    /// The field and the message, in one line.
    pub fn sentence(&self) -> String {
        match self.field.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", self.field, self.message),
        }
    }
}

/// A finding that an exception took back.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExceptedFinding {
    /// What would be denied.
    #[serde(flatten)]
    pub finding: ReportedFinding,
    /// Why it is not.
    pub reason: String,
    /// Who is responsible for that.
    pub owner: String,
    /// The last day on which it is not denied.
    pub expires: String,
}

/// What of an object a result is about, if it is not the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultSubject {
    /// The pods that it makes.
    Pods,
}

/// The verdict of one policy on one object, or on the pods that it makes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyResult {
    /// The policy.
    pub policy: &'static str,
    /// What to do about a denial; it is the policy's, and readers of JSON have it from the policy.
    #[serde(skip)]
    pub remediation: &'static str,
    /// The verdict in one word.
    pub outcome: Outcome,
    /// The place of the first finding, or of the object if there is none.
    pub source: SourceLocation,
    /// The object.
    pub object: ObjectName,
    /// `pods` if it is about the pods that the object makes: `patch` is then what becomes of such a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<ResultSubject>,
    /// What is denied.
    pub denials: Vec<ReportedFinding>,
    /// What is warned of.
    pub warnings: Vec<ReportedFinding>,
    /// What would be denied without an exception.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excepted: Vec<ExceptedFinding>,
    /// How many more findings there were.
    #[serde(rename = "leftOut", skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// What would be changed, as a JSON Patch.
    pub patch: Vec<PatchOperation>,
    /// What the audit log gets, where that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
}

impl PolicyResult {
    /// The verdict of a policy on the object of a request, or on such a pod; the findings and their places are to be added.
    pub fn new(
        row: &PolicyVerdict,
        verdicts: &Verdicts<'_>,
        requested: &Request<'_>,
        reported: ResultTarget,
    ) -> Self {
        let ResultTarget { object, of } = reported;
        PolicyResult {
            policy: row.metadata.name,
            remediation: row.metadata.remediation,
            outcome: row.verdict.outcome(),
            source: SourceLocation::default(),
            object,
            of,
            denials: Vec::new(),
            warnings: Vec::new(),
            excepted: Vec::new(),
            left_out: row.verdict.left_out,
            patch: patch_of(verdicts, &row.verdict.edits, requested),
            audit: None,
        }
    }

    /// The denials and warnings, each with which of the two it is.
    pub fn findings(&self) -> impl Iterator<Item = (Outcome, &ReportedFinding)> {
        let denials = self.denials.iter().map(|finding| (Outcome::Deny, finding));
        denials.chain(self.warnings.iter().map(|finding| (Outcome::Warn, finding)))
    }

    /// The denials, or the warnings.
    pub fn findings_of(&mut self, outcome: Outcome) -> &mut Vec<ReportedFinding> {
        match outcome {
            Outcome::Deny => &mut self.denials,
            _ => &mut self.warnings,
        }
    }

    /// The identity of a finding, in one line: the policy, the control, the object, the field and the message. It has no place, so
    /// that moving lines does not change it; a message that includes a value is another finding for another value.
    pub fn key(&self, finding: &ReportedFinding) -> String {
        let control = finding.control.unwrap_or("-");
        let field = if finding.field.is_empty() { "-" } else { &finding.field };
        let of = if self.of.is_some() { " (its pods)" } else { "" };
        let (policy, object, message) = (self.policy, &self.object, &finding.message);
        printable(&format!("{policy} {control} {object}{of} {field}: {message}")).into_owned()
    }

    /// Makes the outcome match the findings that are left.
    pub fn settle(&mut self) {
        let left_out = self.left_out > 0 && self.outcome == Outcome::Deny;
        self.outcome = match self {
            _ if left_out || !self.denials.is_empty() => Outcome::Deny,
            _ if !self.patch.is_empty() => Outcome::Patch,
            _ if !self.warnings.is_empty() => Outcome::Warn,
            _ => Outcome::Allow,
        };
    }
}

/// What a result is about.
#[derive(Clone, Debug)]
pub struct ResultTarget {
    /// The object.
    pub object: ObjectName,
    /// The part of it, if it is not all of it.
    pub of: Option<ResultSubject>,
}

/// What one policy changes, as far as it can be told apart from what the others do.
fn patch_of(verdicts: &Verdicts<'_>, edits: &[patch::Edit], request: &Request<'_>) -> Vec<PatchOperation> {
    let object = request.object.value().ok().flatten();
    let (false, Some(object)) = (edits.is_empty() || verdicts.patched.is_none(), object) else {
        return Vec::new();
    };
    let patch = match patch::apply(*object, edits, request.object.arena()) {
        Ok(patched) => patch::between(*object, patched),
        Err(_) => verdicts.patch(),
    };
    patch.into_iter().map(PatchOperation::owned).collect()
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
