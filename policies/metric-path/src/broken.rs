//! A link that is broken.

use policy_core::{Field, Verdict};

use crate::settings::{ControlId, MetricPath};

/// What is broken, and at which field of the object in which that was found.
#[derive(Clone)]
pub(crate) struct Broken<'a> {
    pub(crate) control: ControlId,
    pub(crate) field: Field<'a>,
    pub(crate) message: String,
}

impl<'a> Broken<'a> {
    pub(crate) fn new(control: ControlId, field: Field<'a>, message: impl Into<String>) -> Self {
        Broken { control, field, message: message.into() }
    }

    /// The field and what is the matter with it, for a message of another object.
    pub(crate) fn sentence(&self) -> String {
        format!("{}: {}", self.field.path(), self.message)
    }

    /// Denies the object that the field is of.
    pub(crate) fn say(self, settings: &MetricPath, verdict: &mut Verdict) {
        if !settings.exempt_controls.contains(&self.control) {
            verdict.deny_by(self.control.as_str(), self.field, self.message);
        }
    }
}
