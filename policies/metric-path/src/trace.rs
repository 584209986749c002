//! The paths of an autoscaler's metrics, for `pratique explain-metric`.

use policy_core::path::excerpt;
use policy_core::{Cluster, Field, Request, Undecided};

use crate::MetricContext;
use crate::autoscaler::{self, ScaleTarget};
use crate::finding::LinkFinding;
use crate::follow::follow;
use crate::metric::Link;
use crate::settings::MetricPath;

/// The role of the scaled pods in a resource metric.
const MEASURED: &str = "is measured by metrics-server, relative to its requests";

/// The path of one metric of one autoscaler.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The field of the autoscaler that names the metric.
    pub field: String,
    /// The links, from the autoscaler to the exporter. Links after a broken one are unknown.
    pub links: Vec<Link>,
}

impl Trace {
    /// Attaches the finding to the last known link.
    fn new(field: Field<'_>, mut links: Vec<Link>, finding: Option<LinkFinding<'_>>) -> Self {
        if let (Some(finding), Some(last)) = (finding, links.last_mut()) {
            last.broken = Some(finding.message);
        }
        Trace { field: field.path().to_string(), links }
    }
}

/// The paths of the autoscaler's metrics for which `is_wanted` returns true. Resources such as `cpu` are included.
///
/// # Errors
/// An object is not valid.
pub fn traces<'a>(
    settings: &'a MetricPath,
    request: &Request<'a>,
    cluster: &'a dyn Cluster,
    mut is_wanted: impl FnMut(&str) -> bool,
) -> Result<Vec<Trace>, Undecided> {
    let set = MetricContext::of_request(settings, request, cluster);
    let own = format!("HorizontalPodAutoscaler {}/{}", request.namespace, request.display_name()?);
    let target = autoscaler::scale_target(&set, request)?;
    let mut traces = Vec::new();
    for item in request.object.at("spec.metrics").items()? {
        let pods = if let ScaleTarget::Pods(pods) = &target { Some(*pods) } else { None };
        let custom = autoscaler::custom_metric(request, item, pods)?;
        let (field, name) = match &custom {
            Some(custom) => (custom.field, custom.name),
            None => {
                let field = item.at("containerResource.name");
                let field = if field.is_set()? { field } else { item.at("resource.name") };
                (field, field.text()?)
            }
        };
        if !is_wanted(name) {
            continue;
        }
        let mut links = vec![Link::new(own.as_str(), format!("scales on `{}`", excerpt(name)))];
        let finding = match (&target, custom) {
            (ScaleTarget::Broken(finding), _) => Some(finding.clone()),
            (_, Some(custom)) => {
                let path = follow(&set, &custom)?;
                links.extend(path.links);
                links.extend(path.note.map(|note| Link::new("not followed", note)));
                path.finding
            }
            (ScaleTarget::Pods(pods), None) => {
                links.push(Link::new(pods.display(), MEASURED));
                autoscaler::resource_metric(item, pods)?
            }
            (ScaleTarget::Unknown, None) => None,
        };
        traces.push(Trace::new(field, links, finding));
    }
    let utilization = request.object.at(autoscaler::CPU_UTILIZATION_V1);
    if utilization.is_set()? && is_wanted("cpu") {
        let mut links = vec![Link::new(own.as_str(), "scales on `cpu`")];
        let finding = match target {
            ScaleTarget::Broken(finding) => Some(finding),
            ScaleTarget::Unknown => None,
            ScaleTarget::Pods(pods) => {
                links.push(Link::new(pods.display(), MEASURED));
                autoscaler::utilization_v1(request, pods)?
            }
        };
        traces.push(Trace::new(utilization, links, finding));
    }
    Ok(traces)
}
