//! A broken link, as a finding about the object in which it was found.

use policy_core::{Field, Verdict};
use policy_kubernetes::monitor::BrokenLink;

use crate::settings::{ControlId, MetricPath};

/// What is broken, and the field at which that was found.
#[derive(Clone)]
pub(crate) struct LinkFinding<'a> {
    pub(crate) control: ControlId,
    pub(crate) field: Field<'a>,
    pub(crate) message: String,
}

impl<'a> LinkFinding<'a> {
    pub(crate) fn new(control: ControlId, field: Field<'a>, message: impl Into<String>) -> Self {
        LinkFinding { control, field, message: message.into() }
    }

    /// Denies the object of the field, unless the control is exempt.
    pub(crate) fn deny(self, settings: &MetricPath, verdict: &mut Verdict) {
        if !settings.exempt_controls.contains(&self.control) {
            verdict.deny_by(self.control.as_str(), self.field, self.message);
        }
    }
}

impl<'a> From<BrokenLink<'a>> for LinkFinding<'a> {
    fn from(broken: BrokenLink<'a>) -> Self {
        LinkFinding::new(broken.link.into(), broken.field, broken.message)
    }
}
