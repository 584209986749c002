//! The violations that a control reports.

use policy_core::{Field, Verdict};

/// Adds the violations of a control to the verdict.
#[derive(Debug)]
pub(crate) struct ControlViolations<'v> {
    pub(crate) control: &'static str,
    pub(crate) verdict: &'v mut Verdict,
}

impl ControlViolations<'_> {
    /// Denies the field; the message states the required value.
    pub(crate) fn add(&mut self, field: Field<'_>, message: impl Into<String>) {
        self.verdict.deny_by(self.control, field, message);
    }
}
