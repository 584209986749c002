//! Where a control reports what offends it.

use policy_core::{Field, Verdict};

/// Where a control says what offends it.
#[derive(Debug)]
pub(crate) struct ControlViolations<'v> {
    pub(crate) control: &'static str,
    pub(crate) verdict: &'v mut Verdict,
}

impl ControlViolations<'_> {
    /// Denies that field; the message says what it must be.
    pub(crate) fn add(&mut self, field: Field<'_>, message: impl Into<String>) {
        self.verdict.deny_by(self.control, field, message);
    }
}
