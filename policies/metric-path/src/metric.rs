//! A custom metric and the links of its path from the autoscaler to its source.

use policy_core::Field;
use policy_kubernetes::inventory::PodGroup;

use crate::finding::LinkFinding;
use crate::settings::ControlId;

/// A link of the path.
#[derive(Clone, Debug)]
pub struct Link {
    /// The object.
    pub object: String,
    /// The role of the object for the metric.
    pub role: String,
    /// The reason, if the link is broken.
    pub broken: Option<String>,
}

impl Link {
    pub(crate) fn new(object: impl Into<String>, role: impl Into<String>) -> Self {
        Link { object: object.into(), role: role.into(), broken: None }
    }
}

/// A custom or external metric of an autoscaler.
pub(crate) struct CustomMetric<'s, 'a> {
    /// The field that names it.
    pub(crate) field: Field<'a>,
    pub(crate) name: &'a str,
    pub(crate) subject: Subject<'a>,
    /// The scaled pods, if they are known.
    pub(crate) target: Option<&'s PodGroup<'a>>,
    pub(crate) namespace: &'a str,
}

/// The objects that a metric describes.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// Each scaled pod.
    Pods,
    /// An object, such as a Service.
    Object { kind: &'a str, name: &'a str },
    /// No object in the cluster.
    External,
}

/// The path of a metric, as far as it could be followed.
#[derive(Default)]
pub(crate) struct MetricTrace<'a> {
    pub(crate) links: Vec<Link>,
    pub(crate) finding: Option<LinkFinding<'a>>,
    /// The reason why the path could not be followed to its end, if no link is known to be broken.
    pub(crate) note: Option<String>,
}

impl<'a> MetricTrace<'a> {
    pub(crate) fn broken(
        mut self,
        control: ControlId,
        metric: &CustomMetric<'_, 'a>,
        message: impl Into<String>,
    ) -> Self {
        self.finding = Some(LinkFinding::new(control, metric.field, message));
        self
    }

    pub(crate) fn not_followed(mut self, reason: String) -> Self {
        self.note = Some(reason);
        self
    }
}
