//! What a policy says of a request: what it denies, what it warns of, what it changes.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::field::{Field, Undecided};
use crate::patch::Edit;
use crate::path::{FieldPath, printable};

/// How many findings of one policy are kept: more than any object that somebody wrote has, and few enough that a request
/// made of a million offences is answered like any other.
pub const MOST_FINDINGS: usize = 1000;

/// What the audit log is told of an object that is judged without the changes that a policy would have made: the API server
/// went on without them.
pub const NOT_CHANGED: &str = "not-changed";

/// What the audit log is told where a policy cannot look at the objects that it needs to know before it changes anything.
pub const CLUSTER_UNKNOWN: &str = "cluster-unknown";

/// One thing that a policy found, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where; empty when it is the request as a whole.
    pub field: FieldPath,
    /// What: lower case, imperative, user values in backticks.
    pub message: String,
    /// Which part of the policy found it, where the policy has parts.
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

/// What one policy says of one request. Starts as an allow, and can only be made worse. What is found is in the order of
/// the fields, and never twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What is denied.
    pub denials: BTreeSet<Finding>,
    /// What is only warned of.
    pub warnings: BTreeSet<Finding>,
    /// What is changed, in the order in which the policy said so.
    pub edits: Vec<Edit>,
    /// What an auditor reads of it: one word out of a few, or nothing.
    pub audit: Option<String>,
    /// How many more findings there were than are kept.
    pub left_out: usize,
    /// Whether the policy could not decide, in which case `denials` says why.
    pub undecided: bool,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing was found.
    Allow,
    /// Something was warned of, nothing denied or changed.
    Warn,
    /// The object is changed, nothing denied.
    Patch,
    /// The request is denied.
    Deny,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Warn => "warn",
            Outcome::Patch => "patch",
            Outcome::Deny => "deny",
        }
    }

    /// The outcome of that word.
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

    /// Warns of that field.
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
            // Whatever name of the request is in it, it stays one line, and forges no other.
            let message = printable(&message.into()).into_owned();
            findings.insert(Finding { field: field.path(), message, control });
        } else {
            self.left_out += 1;
        }
    }

    /// Sets that field, and makes the objects on the way to it where they are missing.
    pub fn set(&mut self, field: Field<'_>, value: impl Serialize) {
        self.edits.push(Edit::Set { path: field.path(), value: json(&value) });
    }

    /// Adds an item at the end of that list, and makes the list where it is missing.
    pub fn append(&mut self, list: Field<'_>, value: impl Serialize) {
        self.edits.push(Edit::Append { path: list.path(), value: json(&value) });
    }

    /// Notes for the audit log what was decided where neither a denial nor a patch tells: a word out of a fixed list.
    pub fn audit(&mut self, what: impl Into<String>) {
        self.audit = Some(what.into());
    }

    /// Takes over what the same policy says of the object as it has become: its denials count, its warnings are added.
    pub(crate) fn become_later(&mut self, later: Verdict) {
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

    /// Where nothing is changed any more: what was to be changed was not, and nothing is said of what it would have been.
    pub(crate) fn make_no_edits(&mut self) {
        if !self.edits.is_empty() {
            self.edits.clear();
            self.warnings.clear();
            self.audit = Some(NOT_CHANGED.to_owned());
        }
    }

    /// Changes nothing, and says that the policy could not look at what it needs for it.
    pub(crate) fn could_not_look(&mut self, undecided: Undecided) {
        self.edits.clear();
        self.audit = Some(CLUSTER_UNKNOWN.to_owned());
        let message = format!("changes nothing: {}", undecided.reason);
        self.warnings.insert(Finding { field: undecided.field, message, control: None });
    }

    /// Turns the verdict into a denial that says why there is none.
    pub(crate) fn could_not_decide(&mut self, undecided: Undecided) {
        self.edits.clear();
        self.undecided = true;
        self.denials.insert(Finding {
            field: undecided.field,
            message: printable(&format!("could not decide: {}", undecided.reason)).into_owned(),
            control: None,
        });
    }
}

/// What cannot be serialized is no JSON, and so no edit that can be made.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
