//! Findings about broken links.

use policy_core::{Field, Verdict};
use policy_kubernetes::monitor::BrokenLink;

use crate::settings::{ControlId, MetricPath};

/// A broken link, and the field at which it is reported.
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

    /// Adds a denial to the verdict, unless the control is exempt.
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
