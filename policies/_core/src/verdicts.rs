//! The verdicts of all policies on one request, and the response of a host.

use serde::{Serialize, Serializer};

use crate::metadata::PolicyMetadata;
use crate::patch::{self, PatchOperation};
use crate::value::Value;
use crate::verdict::Verdict;

/// The phase of admission: an API server calls all mutating webhooks first, and then all validating webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionPhase {
    /// The object can still change: policies change it, and the result is evaluated.
    Mutating,
    /// The object is final: it is evaluated, and not changed.
    Validating,
}

impl AdmissionPhase {
    /// The name in URL paths and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            AdmissionPhase::Mutating => "mutate",
            AdmissionPhase::Validating => "validate",
        }
    }
}

/// The verdicts of all policies on one request.
#[derive(Debug)]
pub struct Verdicts<'a> {
    /// One row for each policy that matches the request, in the order of the policies.
    pub rows: Vec<PolicyVerdict>,
    /// The object with the changes of all policies, if there are any.
    pub patched: Option<Value<'a>>,
    /// The original object.
    pub original: Value<'a>,
    /// Why the patch must not be sent although the object is valid. This is an internal error, not a denial.
    pub fault: Option<String>,
}

/// The verdict of one policy.
#[derive(Debug)]
pub struct PolicyVerdict {
    /// The policy.
    pub metadata: &'static PolicyMetadata,
    /// The verdict.
    pub verdict: Verdict,
}

/// The audit annotations, one per policy; serialized as an object.
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
    /// Whether the request is admitted: no policy denies it, and the patch is not at fault.
    pub fn allowed(&self) -> bool {
        self.fault.is_none() && self.rows.iter().all(|row| row.verdict.denials.is_empty())
    }

    /// Keeps the verdicts of a phase: in the mutating phase, only those of mutating policies, because other webhooks may still
    /// change the object. The validating phase keeps all of them.
    pub fn keep(&mut self, phase: AdmissionPhase) {
        self.rows.retain(|row| phase == AdmissionPhase::Validating || row.metadata.mutates);
    }

    /// The changes of all policies; empty if nothing changes.
    pub fn patch(&self) -> Vec<PatchOperation<Value<'a>>> {
        self.patched.map(|patched| patch::between(self.original, patched)).unwrap_or_default()
    }

    /// The denials of all policies in one line, for the user who sent the request; empty if the request is admitted.
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

    /// The audit annotations, by policy.
    pub fn audit(&self) -> AuditAnnotations<'_> {
        let noted = self.rows.iter().map(|row| (row.metadata.name, row.verdict.audit.as_deref()));
        AuditAnnotations(noted.filter_map(|(policy, what)| Some((policy, what?))).collect())
    }

    /// All warnings, one line each, with the policy name first.
    pub fn warnings(&self) -> Vec<String> {
        self.rows
            .iter()
            .flat_map(|row| {
                row.verdict.warnings.iter().map(|w| format!("{}: {}", row.metadata.name, w.sentence()))
            })
            .collect()
    }
}
