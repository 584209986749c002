//! The verdict of a policy on a request: denials, warnings and changes.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::field::{Field, Undecided};
use crate::patch::Edit;
use crate::path::{FieldPath, printable};

/// The maximum number of findings that are kept per policy: more than a handwritten object has, but few enough that a request
/// with a million violations gets a normal response.
pub const MOST_FINDINGS: usize = 1000;

/// The audit annotation for an object that is evaluated without a policy's changes, because the API server continued without
/// them.
pub const NOT_CHANGED: &str = "not-changed";

/// The audit annotation if a mutating policy changes nothing because it lacks cluster data.
pub const CLUSTER_UNKNOWN: &str = "cluster-unknown";

/// A problem that a policy found, and its location.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The field; empty if the finding is about the whole request.
    pub field: FieldPath,
    /// The message: lower case, imperative, user values in backticks.
    pub message: String,
    /// The control that found it, if the policy has controls.
    pub control: Option<&'static str>,
}

impl Finding {
    /// The finding as one line: `spec.hostNetwork: must not be true (hostNamespaces)`.
    pub fn sentence(&self) -> String {
        let control = self.control.map(|control| format!(" ({control})")).unwrap_or_default();
        if self.field.0.is_empty() {
            return format!("{}{control}", self.message);
        }
        format!("{}: {}{control}", self.field, self.message)
    }
}

/// The verdict of one policy on one request. It starts as an allow and can only become stricter. Findings are unique, and sorted
/// by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Findings that deny the request.
    pub denials: BTreeSet<Finding>,
    /// Findings that only warn.
    pub warnings: BTreeSet<Finding>,
    /// Changes to the object, in the order in which the policy made them.
    pub edits: Vec<Edit>,
    /// The audit annotation: a word from a fixed list, or nothing.
    pub audit: Option<String>,
    /// The number of findings that were left out because of [`MOST_FINDINGS`].
    pub left_out: usize,
    /// Whether the policy could not decide; `denials` then contains the reason.
    pub undecided: bool,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The policy has no findings.
    Allow,
    /// The request gets warnings, and is not denied or changed.
    Warn,
    /// The object is changed, and not denied.
    Patch,
    /// The request is denied.
    Deny,
}

impl Outcome {
    /// The outcome as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Warn => "warn",
            Outcome::Patch => "patch",
            Outcome::Deny => "deny",
        }
    }

    /// Parses the word of an outcome.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Allow, Self::Warn, Self::Patch, Self::Deny]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

impl Verdict {
    /// Denies the request because of that field.
    pub fn deny(&mut self, field: Field<'_>, message: impl Into<String>) {
        self.find(Outcome::Deny, None, field, message);
    }

    /// Denies the request because of that field, on behalf of one control of the policy.
    pub fn deny_by(&mut self, control: &'static str, field: Field<'_>, message: impl Into<String>) {
        self.find(Outcome::Deny, Some(control), field, message);
    }

    /// Adds a warning about that field.
    pub fn warn(&mut self, field: Field<'_>, message: impl Into<String>) {
        self.find(Outcome::Warn, None, field, message);
    }

    fn find(
        &mut self,
        outcome: Outcome,
        control: Option<&'static str>,
        field: Field<'_>,
        message: impl Into<String>,
    ) {
        let findings = if outcome == Outcome::Deny { &mut self.denials } else { &mut self.warnings };
        if findings.len() < MOST_FINDINGS {
            // A name from the request must not break the line or forge another one.
            let message = printable(&message.into()).into_owned();
            findings.insert(Finding { field: field.path(), message, control });
        } else {
            self.left_out += 1;
        }
    }

    /// Sets that field, and creates its parent objects if they are missing.
    pub fn set(&mut self, field: Field<'_>, value: impl Serialize) {
        self.edits.push(Edit::Set { path: field.path(), value: json(&value) });
    }

    /// Appends an item to that list, and creates the list if it is missing.
    pub fn append(&mut self, list: Field<'_>, value: impl Serialize) {
        self.edits.push(Edit::Append { path: list.path(), value: json(&value) });
    }

    /// Sets the audit annotation, for decisions that neither a denial nor a patch shows: a word from a fixed list.
    pub fn audit(&mut self, what: impl Into<String>) {
        self.audit = Some(what.into());
    }

    /// Merges the policy's verdict on the changed object: the new denials replace the old ones, and warnings are added.
    pub(crate) fn replace_with(&mut self, later: Verdict) {
        if self.audit.is_none() || !later.edits.is_empty() {
            self.audit = later.audit;
        }
        self.denials = later.denials;
        self.undecided = later.undecided;
        self.left_out = later.left_out;
        self.warnings.extend(later.warnings);
        self.edits.extend(later.edits);
    }

    /// The verdict in one word.
    pub fn outcome(&self) -> Outcome {
        match self {
            _ if !self.denials.is_empty() => Outcome::Deny,
            _ if !self.edits.is_empty() => Outcome::Patch,
            _ if !self.warnings.is_empty() => Outcome::Warn,
            _ => Outcome::Allow,
        }
    }

    /// Drops the edits and their warnings, and notes in the audit annotation that the object lacks the changes.
    pub(crate) fn discard_edits(&mut self) {
        if !self.edits.is_empty() {
            self.edits.clear();
            self.warnings.clear();
            self.audit = Some(NOT_CHANGED.to_owned());
        }
    }

    /// Drops the edits, and warns that the policy lacks the cluster data that it needs.
    pub(crate) fn skip_without_cluster_data(&mut self, undecided: Undecided) {
        self.edits.clear();
        self.audit = Some(CLUSTER_UNKNOWN.to_owned());
        let message = format!("changes nothing: {}", undecided.reason);
        self.warnings.insert(Finding { field: undecided.field, message, control: None });
    }

    /// Denies the request, with the reason why the policy could not decide.
    pub(crate) fn deny_undecided(&mut self, undecided: Undecided) {
        self.edits.clear();
        self.undecided = true;
        self.denials.insert(Finding {
            field: undecided.field,
            message: printable(&format!("could not decide: {}", undecided.reason)).into_owned(),
            control: None,
        });
    }
}

/// The value as JSON. If it cannot be serialized, the text is empty, and applying the edit fails.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
