//! Evaluates an autoscaler: its scale target must exist, and each of its metrics must have a source.

use policy_core::path::{excerpt, listed};
use policy_core::{Field, Request, Undecided, Verdict};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::inventory::{PodGroup, RunningContainer};

use crate::MetricContext;
use crate::finding::LinkFinding;
use crate::follow::follow;
use crate::metric::{CustomMetric, Subject};
use crate::settings::ControlId;

/// The only metric of autoscaling/v1.
pub(crate) const CPU_UTILIZATION_V1: &str = "spec.targetCPUUtilizationPercentage";

pub(crate) fn evaluate<'a>(
    set: &MetricContext<'a>,
    request: &Request<'a>,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let target = match scale_target(set, request)? {
        ScaleTarget::Broken(finding) => {
            finding.deny(set.settings, verdict);
            return Ok(());
        }
        ScaleTarget::Pods(pods) => Some(pods),
        ScaleTarget::Unknown => None,
    };
    let mut findings = Vec::new();
    if let Some(target) = target {
        findings.extend(utilization_v1(request, target)?);
    }
    for metric in request.object.at("spec.metrics").items()? {
        if let Some(metric) = custom_metric(request, metric, target)? {
            let path = follow(set, &metric)?;
            if let Some(note) = path.note {
                verdict.warn(metric.field, note);
            }
            findings.extend(path.finding);
        } else if let Some(target) = target {
            findings.extend(resource_metric(metric, target)?);
        }
    }
    findings.into_iter().for_each(|finding| finding.deny(set.settings, verdict));
    Ok(())
}

/// The scale target of an autoscaler.
pub(crate) enum ScaleTarget<'s, 'a> {
    /// The pods of a workload in the manifest set.
    Pods(&'s PodGroup<'a>),
    /// A workload with unknown pods.
    Unknown,
    /// The target does not exist or cannot be scaled.
    Broken(LinkFinding<'a>),
}

/// Finds the scale target of the autoscaler in the request.
pub(crate) fn scale_target<'s, 'a>(
    set: &'s MetricContext<'a>,
    request: &Request<'a>,
) -> Result<ScaleTarget<'s, 'a>, Undecided> {
    let reference = request.object.at("spec.scaleTargetRef");
    let (kind, name) = (reference.at("kind").text()?, reference.at("name").text()?);
    let version = reference.at("apiVersion");
    let group = version.text()?.split_once('/').map_or("", |(group, _)| group);
    let kinds = WorkloadKinds::with(&set.settings.pod_templates);
    let Some(row) = kinds.get(group, kind).filter(|row| row.scalable) else {
        if !matches!(group, "" | "apps") {
            return Ok(ScaleTarget::Unknown);
        }
        let scalable: Vec<_> = kinds.iter().filter(|row| row.scalable).collect();
        let (field, message) = match scalable.iter().find(|row| row.kind == kind) {
            Some(row) => (version, format!("must have the API group `{}` of {kind}", row.group)),
            None => {
                let of_kubernetes = scalable.iter().filter(|row| matches!(row.group, "" | "apps"));
                let kinds: Vec<&str> = of_kubernetes.map(|row| row.kind).collect();
                (reference.at("kind"), format!("must be a kind that can be scaled: {}", kinds.join(", ")))
            }
        };
        return Ok(ScaleTarget::Broken(LinkFinding::new(ControlId::Target, field, message)));
    };
    let of_kind = |pods: &&PodGroup<'_>| pods.kind == kind && pods.namespace == request.namespace;
    let all = set.inventory.pods()?.iter().filter(of_kind);
    if let Some(pods) = all.clone().find(|pods| pods.name == name) {
        return Ok(ScaleTarget::Pods(pods));
    }
    if row.optional_template {
        // An object without its own template exists, so its pods are not known.
        let (group, kind) = (set.inventory.arena.text(row.group), set.inventory.arena.text(row.kind));
        let objects = set.inventory.objects(group, kind, Some(request.namespace))?;
        if objects.iter().any(|object| object.name == name) {
            return Ok(ScaleTarget::Unknown);
        }
    }
    let others = listed(all.map(|pods| pods.name));
    let message = format!("must be a {kind} in namespace `{}`: found {others}", excerpt(request.namespace));
    Ok(ScaleTarget::Broken(LinkFinding::new(ControlId::Target, reference.at("name"), message)))
}

/// A custom or external metric; `None` for a resource metric of containers or pods.
pub(crate) fn custom_metric<'s, 'a>(
    request: &Request<'a>,
    metric: Field<'a>,
    target: Option<&'s PodGroup<'a>>,
) -> Result<Option<CustomMetric<'s, 'a>>, Undecided> {
    let (field, subject) = match metric.at("type").text()? {
        "Pods" => (metric.at("pods.metric.name"), Subject::Pods),
        "Object" => {
            let described = metric.at("object.describedObject");
            let (kind, name) = (described.at("kind").text()?, described.at("name").text()?);
            (metric.at("object.metric.name"), Subject::Object { kind, name })
        }
        "External" => (metric.at("external.metric.name"), Subject::External),
        _ => return Ok(None),
    };
    let name = field.text()?;
    Ok(Some(CustomMetric { field, name, subject, target, namespace: request.namespace }))
}

/// Checks a resource metric: its container must exist, and utilization needs a resource request.
pub(crate) fn resource_metric<'a>(
    metric: Field<'a>,
    target: &PodGroup<'a>,
) -> Result<Option<LinkFinding<'a>>, Undecided> {
    let (root, container) = match metric.at("type").text()? {
        "Resource" => (metric.at("resource"), None),
        "ContainerResource" => {
            let root = metric.at("containerResource");
            (root, Some(root.at("container")))
        }
        _ => return Ok(None),
    };
    let name = container.map_or(Ok(""), Field::text)?;
    let is_measured = |own: &&RunningContainer<'_>| container.is_none() || own.name == name;
    let measured: Vec<&RunningContainer<'a>> = target.containers.iter().filter(is_measured).collect();
    if let (Some(field), true) = (container, measured.is_empty()) {
        let names = listed(target.containers.iter().map(|container| container.name));
        let message = format!("must be a container of {}, which has {}", target.display(), names);
        return Ok(Some(LinkFinding::new(ControlId::Request, field, message)));
    }
    if root.at("target.type").text()? != "Utilization" {
        return Ok(None);
    }
    let field = root.at("name");
    let measured =
        if container.is_none() { MeasuredResource::Pod } else { MeasuredResource::Containers(measured) };
    missing_request(target, &measured, field, field.text()?)
}

/// Checks the only metric of autoscaling/v1, CPU utilization, which needs a request.
pub(crate) fn utilization_v1<'a>(
    request: &Request<'a>,
    target: &PodGroup<'a>,
) -> Result<Option<LinkFinding<'a>>, Undecided> {
    let utilization = request.object.at(CPU_UTILIZATION_V1);
    match utilization.is_set()? {
        true => missing_request(target, &MeasuredResource::Pod, utilization, "cpu"),
        false => Ok(None),
    }
}

/// The pod or containers that utilization is computed for: usage divided by request.
enum MeasuredResource<'s, 'a> {
    /// The pod: the sum of all its containers.
    Pod,
    /// Some of its containers.
    Containers(Vec<&'s RunningContainer<'a>>),
}

/// Finds a container without a request for the resource.
fn missing_request<'a>(
    target: &PodGroup<'a>,
    measured: &MeasuredResource<'_, 'a>,
    field: Field<'a>,
    resource: &'a str,
) -> Result<Option<LinkFinding<'a>>, Undecided> {
    // If only a limit is set, Kubernetes uses it as the request.
    let is_requested = |resources: Field<'a>| -> Result<bool, Undecided> {
        Ok(resources.at("requests").key(resource).is_set()?
            || resources.at("limits").key(resource).is_set()?)
    };
    let containers = match measured {
        // A pod-level request covers all containers.
        MeasuredResource::Pod if is_requested(target.resources)? => return Ok(None),
        MeasuredResource::Pod => target.containers.iter().collect(),
        MeasuredResource::Containers(containers) => containers.clone(),
    };
    for container in containers {
        if !is_requested(container.field.at("resources"))? {
            let message = format!(
                "must have a request to compute utilization: container `{}` of {} requests no {}",
                excerpt(container.name),
                target.display(),
                excerpt(resource)
            );
            return Ok(Some(LinkFinding::new(ControlId::Request, field, message)));
        }
    }
    Ok(None)
}
