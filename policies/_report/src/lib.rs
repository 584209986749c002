//! One model of findings, for every report of the command line and for the playground.
//!
//! A field that you add to [`PolicyResult`] or [`ReportedFinding`] appears in the JSON of both, and in the TypeScript types of
//! the playground, which are generated from the JSON Schema of the model ([`typescript`]).

mod typescript;

use policy_core::patch::{self, PatchOperation};
use policy_core::path::printable;
use policy_core::verdicts::PolicyVerdict;
use policy_core::{FieldPath, Finding, Outcome, Request, Verdicts};
use policy_manifests::{ObjectName, Snippet};
use schemars::JsonSchema;
use serde::Serialize;

pub use typescript::typescript;

/// A location in a source. Lines, columns and documents count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceLocation {
    /// The name of the source; for rendered output, the file that contains the object.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The document in the file.
    pub document: usize,
}

/// A finding with its location.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReportedFinding {
    /// The path of the field in the object.
    pub field: String,
    /// What must hold.
    pub message: String,
    /// The control of the policy that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<&'static str>,
    /// The line of the field, or of its nearest parent in the text.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The start of the value in the line, in UTF-16 code units from 0, as editors count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// The end of the value in the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// The source line, if it is the text that was evaluated.
    #[serde(skip)]
    pub written: Option<Snippet>,
    /// The line in the rendered output of kustomize, if the source line differs.
    #[serde(skip)]
    pub built: Option<String>,
}

impl ReportedFinding {
    /// A finding at a field of the reported object, which can differ from the field in a pod. The location is set later.
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

/// A finding that an exception suppresses.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExceptedFinding {
    /// The finding that would deny the object.
    #[serde(flatten)]
    pub finding: ReportedFinding,
    /// The reason for the exception.
    pub reason: String,
    /// The owner of the exception.
    pub owner: String,
    /// The last day on which the exception applies.
    pub expires: String,
}

/// The subject of a result, if it is not the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultSubject {
    /// The pods that the object creates.
    Pods,
}

/// The verdict of one policy on one object, or on the pods that it creates.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyResult {
    /// The policy.
    pub policy: &'static str,
    /// How to fix a denial. It is not in the JSON, because it is part of the policy's metadata.
    #[serde(skip)]
    pub remediation: &'static str,
    /// The verdict in one word.
    pub outcome: Outcome,
    /// The location of the first finding, or of the object if it has no findings.
    pub source: SourceLocation,
    /// The object.
    pub object: ObjectName,
    /// `pods` if the result is about the pods that the object creates: `patch` then applies to such a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<ResultSubject>,
    /// Findings that deny the object.
    pub denials: Vec<ReportedFinding>,
    /// Findings that only warn.
    pub warnings: Vec<ReportedFinding>,
    /// Findings that an exception suppresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excepted: Vec<ExceptedFinding>,
    /// The number of findings that were left out.
    #[serde(rename = "leftOut", skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// The changes, as a JSON Patch.
    pub patch: Vec<PatchOperation>,
    /// The audit annotation, in reports that show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
}

impl PolicyResult {
    /// The verdict of a policy on the object of a request, or on its pods. Findings and their locations are added later.
    pub fn new(
        row: &PolicyVerdict,
        verdicts: &Verdicts<'_>,
        request: &Request<'_>,
        target: ResultTarget,
    ) -> Self {
        let ResultTarget { object, of } = target;
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
            patch: patch_of(verdicts, &row.verdict.edits, request),
            audit: None,
        }
    }

    /// The denials and warnings, each with its outcome.
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

    /// The identity of a finding, in one line: the policy, the control, the object, the field and the message. It has no line
    /// number, so moving code does not change it. If the message includes a value, a different value is a new finding.
    pub fn key(&self, finding: &ReportedFinding) -> String {
        let control = finding.control.unwrap_or("-");
        let field = if finding.field.is_empty() { "-" } else { &finding.field };
        let of = if self.of.is_some() { " (its pods)" } else { "" };
        let (policy, object, message) = (self.policy, &self.object, &finding.message);
        printable(&format!("{policy} {control} {object}{of} {field}: {message}")).into_owned()
    }

    /// Updates the outcome to match the remaining findings.
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

/// The target of a result.
#[derive(Clone, Debug)]
pub struct ResultTarget {
    /// The object.
    pub object: ObjectName,
    /// The subject, if it is not the object itself.
    pub of: Option<ResultSubject>,
}

/// The changes of one policy; the changes of all policies, if its own cannot be applied separately.
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
