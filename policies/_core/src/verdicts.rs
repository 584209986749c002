//! What all policies say of one request, and what a host answers because of it.

use serde::{Serialize, Serializer};

use crate::metadata::PolicyMetadata;
use crate::patch::{self, PatchOperation};
use crate::value::Value;
use crate::verdict::Verdict;

/// The phase of admission: an API server calls the webhooks of one and then those of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionPhase {
    /// The object may still be changed: the changes of the policies are made, and the result is evaluated.
    Mutating,
    /// The object is final: it is evaluated as it is, and nothing is changed.
    Validating,
}

impl AdmissionPhase {
    /// As paths and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            AdmissionPhase::Mutating => "mutate",
            AdmissionPhase::Validating => "validate",
        }
    }
}

/// What all policies say of one request.
#[derive(Debug)]
pub struct Verdicts<'a> {
    /// One row for each policy whose scope takes the request, in the order of the policies.
    pub rows: Vec<PolicyVerdict>,
    /// What the policies make of the object, all together, if they change it.
    pub patched: Option<Value<'a>>,
    /// The object that they were given.
    pub original: Value<'a>,
    /// Why the patch must not be sent, though nothing is wrong with the object: a fault of ours, and no answer.
    pub fault: Option<String>,
}

/// What one policy says.
#[derive(Debug)]
pub struct PolicyVerdict {
    /// Which policy.
    pub metadata: &'static PolicyMetadata,
    /// What it says.
    pub verdict: Verdict,
}

/// What the audit log is told, a policy each; serializes as an object.
#[derive(Debug)]
pub struct AuditAnnotations<'v>(pub Vec<(&'static str, &'v str)>);

impl Serialize for AuditAnnotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Default for Verdicts<'_> {
    fn default() -> Self {
        Verdicts { rows: Vec::new(), patched: None, original: Value::Null, fault: None }
    }
}

impl<'a> Verdicts<'a> {
    /// Whether no policy denies.
    pub fn allowed(&self) -> bool {
        self.fault.is_none() && self.rows.iter().all(|row| row.verdict.denials.is_empty())
    }

    /// Keeps the verdicts of a phase: in the mutating one only those of the policies that change objects. Others may yet change
    /// the object before the validating phase evaluates them all.
    pub fn keep(&mut self, half: AdmissionPhase) {
        self.rows.retain(|row| half == AdmissionPhase::Validating || row.metadata.mutates);
    }

    /// What the policies change, all together; empty if nothing.
    pub fn patch(&self) -> Vec<PatchOperation<Value<'a>>> {
        self.patched.map(|patched| patch::between(self.original, patched)).unwrap_or_default()
    }

    /// Every denial of every policy in one line, for the person whose request it was; empty if there is none.
    pub fn message(&self) -> String {
        let mut message = self.fault.clone().unwrap_or_default();
        for row in self.rows.iter().filter(|row| !row.verdict.denials.is_empty()) {
            if !message.is_empty() {
                message.push_str(". ");
            }
            message.push_str(row.metadata.name);
            for (i, denial) in row.verdict.denials.iter().enumerate() {
                message.push_str(if i == 0 { ": " } else { "; " });
                message.push_str(&denial.sentence());
            }
            if row.verdict.left_out > 0 {
                message.push_str(&format!("; and {} more", row.verdict.left_out));
            }
        }
        message
    }

    /// What the audit log is told, by policy.
    pub fn audit(&self) -> AuditAnnotations<'_> {
        let noted = self.rows.iter().map(|row| (row.metadata.name, row.verdict.audit.as_deref()));
        AuditAnnotations(noted.filter_map(|(policy, what)| Some((policy, what?))).collect())
    }

    /// Every warning, a line each, the policy first.
    pub fn warnings(&self) -> Vec<String> {
        self.rows
            .iter()
            .flat_map(|row| {
                row.verdict.warnings.iter().map(|w| format!("{}: {}", row.metadata.name, w.sentence()))
            })
            .collect()
    }
}
