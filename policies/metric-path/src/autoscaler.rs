//! An autoscaler: is there what it scales, and does each metric come from somewhere?

use policy_core::path::{excerpt, listed};
use policy_core::{Field, Request, Undecided, Verdict};

use crate::broken::Broken;
use crate::chain::{self, Asked, Of};
use crate::set::{Container, Pods, Set};
use crate::settings::ControlId;

/// The kinds of Kubernetes' own that can be scaled.
const SCALED: [(&str, &str); 4] =
    [("", "ReplicationController"), ("apps", "Deployment"), ("apps", "ReplicaSet"), ("apps", "StatefulSet")];

/// Where version 1 has its one metric.
pub(crate) const SHARE: &str = "spec.targetCPUUtilizationPercentage";

pub(crate) fn judge<'a>(
    set: &Set<'a>,
    request: &Request<'a>,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let target = match target(set, request)? {
        Ok(target) => target,
        Err(broken) => {
            broken.say(set.settings, verdict);
            return Ok(());
        }
    };
    if let Some(target) = target
        && let Some(broken) = measured_in_v1(request, target)?
    {
        broken.say(set.settings, verdict);
    }
    for metric in request.object.at("spec.metrics").items()? {
        if let Some(asked) = asked(request, metric, target)? {
            let way = chain::follow(set, &asked)?;
            if let Some(note) = way.note {
                verdict.warn(asked.field, note);
            }
            if let Some(broken) = way.broken {
                broken.say(set.settings, verdict);
            }
        } else if let Some(target) = target
            && let Some(broken) = measured(metric, target)?
        {
            broken.say(set.settings, verdict);
        }
    }
    Ok(())
}

/// The pods that are scaled; `None` where they are of a kind whose pods the set does not tell.
pub(crate) fn target<'s, 'a>(
    set: &'s Set<'a>,
    request: &Request<'a>,
) -> Result<Result<Option<&'s Pods<'a>>, Broken<'a>>, Undecided> {
    let reference = request.object.at("spec.scaleTargetRef");
    let (kind, name) = (reference.at("kind").text()?, reference.at("name").text()?);
    let version = reference.at("apiVersion");
    let group = version.text()?.split_once('/').map_or("", |(group, _)| group);
    if !matches!(group, "" | "apps") {
        return Ok(Ok(None));
    }
    if !SCALED.contains(&(group, kind)) {
        let kinds: Vec<&str> = SCALED.iter().map(|(_, kind)| *kind).collect();
        let (field, message) = match SCALED.iter().find(|(_, known)| *known == kind) {
            Some((group, kind)) => (version, format!("must be of the group `{group}`, for {kind} is")),
            None => (reference.at("kind"), format!("must be one that can be scaled: {}", kinds.join(", "))),
        };
        return Ok(Err(Broken::new(ControlId::Target, field, message)));
    }
    let of_kind = |pods: &&Pods<'_>| pods.kind == kind && pods.namespace == request.namespace;
    let all = set.pods()?.iter().filter(of_kind);
    if let Some(found) = all.clone().find(|pods| pods.name == name) {
        return Ok(Ok(Some(found)));
    }
    let others = listed(all.map(|pods| pods.name));
    let message = format!("must be a {kind} of `{}`: there are {others}", excerpt(request.namespace));
    Ok(Err(Broken::new(ControlId::Target, reference.at("name"), message)))
}

/// What a custom metric asks for; `None` for one of a container's or pod's resources.
pub(crate) fn asked<'s, 'a>(
    request: &Request<'a>,
    metric: Field<'a>,
    target: Option<&'s Pods<'a>>,
) -> Result<Option<Asked<'s, 'a>>, Undecided> {
    let (field, of) = match metric.at("type").text()? {
        "Pods" => (metric.at("pods.metric.name"), Of::Pods),
        "Object" => {
            let described = metric.at("object.describedObject");
            let (kind, name) = (described.at("kind").text()?, described.at("name").text()?);
            (metric.at("object.metric.name"), Of::Object { kind, name })
        }
        "External" => (metric.at("external.metric.name"), Of::Nothing),
        _ => return Ok(None),
    };
    let name = field.text()?;
    Ok(Some(Asked { field, name, of, target, namespace: request.namespace }))
}

/// What is missing for a metric of resources: the container, or its request, of which the share is computed.
pub(crate) fn measured<'a>(metric: Field<'a>, target: &Pods<'a>) -> Result<Option<Broken<'a>>, Undecided> {
    let (root, only) = match metric.at("type").text()? {
        "Resource" => (metric.at("resource"), None),
        "ContainerResource" => {
            let root = metric.at("containerResource");
            (root, Some(root.at("container")))
        }
        _ => return Ok(None),
    };
    let wanted = only.map_or(Ok(""), Field::text)?;
    let measured: Vec<_> =
        target.containers.iter().filter(|container| only.is_none() || container.name == wanted).collect();
    if let (Some(field), true) = (only, measured.is_empty()) {
        let names = listed(target.containers.iter().map(|container| container.name));
        let message = format!("must be a container of {}, which has {}", target.shown(), names);
        return Ok(Some(Broken::new(ControlId::Request, field, message)));
    }
    if root.at("target.type").text()? != "Utilization" {
        return Ok(None);
    }
    let resource = root.at("name");
    unrequested(target, (measured, only.is_none()), resource, resource.text()?)
}

/// What is missing for the one metric of version 1, a share of the processor: as for a metric of resources.
pub(crate) fn measured_in_v1<'a>(
    request: &Request<'a>,
    target: &Pods<'a>,
) -> Result<Option<Broken<'a>>, Undecided> {
    let share = request.object.at(SHARE);
    match share.is_set()? {
        true => unrequested(target, (target.containers.iter().collect(), true), share, "cpu"),
        false => Ok(None),
    }
}

/// That a container requests none of the resource of which a share is computed; all of the pod's are asked, or some.
fn unrequested<'a>(
    target: &Pods<'a>,
    (measured, is_whole): (Vec<&Container<'a>>, bool),
    field: Field<'a>,
    resource: &'a str,
) -> Result<Option<Broken<'a>>, Undecided> {
    // Where only the limit is written, that is the request too.
    let is_requested = |resources: Field<'a>| -> Result<bool, Undecided> {
        Ok(resources.at("requests").key(resource).is_set()?
            || resources.at("limits").key(resource).is_set()?)
    };
    // What the pod requests as a whole stands for its containers.
    if is_whole && is_requested(target.resources)? {
        return Ok(None);
    }
    for container in measured {
        if !is_requested(container.field.at("resources"))? {
            let message = format!(
                "must be requested, of which the share is computed: container `{}` of {} requests no {}",
                excerpt(container.name),
                target.shown(),
                excerpt(resource)
            );
            return Ok(Some(Broken::new(ControlId::Request, field, message)));
        }
    }
    Ok(None)
}
