//! The objects that a pod needs so that Prometheus scrapes its exporter: a Service with the port, a monitor, and
//! NetworkPolicies that allow Prometheus. Admission does not add them, because they belong in Git.

use policy_core::path::excerpt;
use policy_core::{ManifestSet, Request, Undecided, Value, Verdict, WatchedKind};
use policy_kubernetes::inventory::{Inventory, POD_MONITOR, PodGroup, SERVICE_MONITOR};
use policy_kubernetes::monitor;
use policy_kubernetes::reachability::{Reachability, reachable};
use policy_kubernetes::service::{Service, ServicePort};
use policy_kubernetes::{Pod, WorkloadKinds};

use crate::ExporterSidecar;

/// The kinds that the check reads.
pub(crate) const READS: &[WatchedKind] = &[
    WatchedKind::NAMESPACE,
    WatchedKind::SERVICE,
    WatchedKind::NETWORK_POLICY,
    SERVICE_MONITOR,
    POD_MONITOR,
];

/// Warns if Prometheus cannot find or reach the exporter of a pod.
pub(crate) fn check(
    policy: &ExporterSidecar,
    request: &Request<'_>,
    set: &ManifestSet<'_>,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let Some(pod) = Pod::of(request, WorkloadKinds::BUILT_IN)? else { return Ok(()) };
    let Some(added) = pod.added_container()? else { return Ok(()) };
    let pods = PodGroup::of_request(request)?;
    let container = pods.containers.iter().find(|container| container.name == added);
    let Some((port, number)) = container.and_then(|container| container.ports.first()).copied() else {
        return Ok(());
    };
    let arena = request.object.arena();
    // Monitors are resolved for this pod alone.
    let inventory =
        Inventory::new(set.cluster, arena, WorkloadKinds::BUILT_IN, set.default_namespace, Vec::new());
    let inventory = inventory.with_pods(vec![pods])?;
    let annotations = pod.annotations();
    let Some(pods) = inventory.pods()?.first() else { return Ok(()) };
    if !is_scraped(policy, &inventory, number)? {
        verdict.warn(annotations, not_scraped(&inventory, pods, port, number)?);
    }
    if let Reachability::Blocked { .. } = reachable(&inventory, &policy.prometheus, pods, number)? {
        let message = format!(
            "no NetworkPolicy allows Prometheus to reach the exporter's port {number}, and the pod is isolated"
        );
        verdict.warn(annotations, message);
    }
    Ok(())
}

/// Whether a monitor selects the port, reachable or not. Unreachable ports get a separate warning.
fn is_scraped(policy: &ExporterSidecar, inventory: &Inventory<'_>, number: u16) -> Result<bool, Undecided> {
    for listed in inventory.monitors()? {
        let targets = monitor::targets(inventory, &policy.prometheus, &listed)
            .map_err(|undecided| undecided.in_object(listed.kind, listed.name))?;
        if targets.scrapes.iter().chain(&targets.unreachable).any(|scrape| scrape.number == number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The message that names the missing object, if the port is not scraped.
fn not_scraped(
    inventory: &Inventory<'_>,
    pods: &PodGroup<'_>,
    name: &str,
    number: u16,
) -> Result<String, Undecided> {
    let is_port = |port: &ServicePort<'_>| -> Result<bool, Undecided> {
        Ok(match port.target()?.value()? {
            Some(Value::String(target)) => *target == name,
            Some(target) => target.to_string() == number.to_string(),
            None => false,
        })
    };
    for service in inventory.services()? {
        let in_service = |undecided: Undecided| undecided.in_object("Service", service.name);
        if service.namespace != pods.namespace || !service.selects(&pods.labels).map_err(in_service)? {
            continue;
        }
        for port in Service::ports(*service).map_err(in_service)? {
            if is_port(&port).map_err(in_service)? {
                return Ok(format!(
                    "no ServiceMonitor scrapes the exporter: none selects port `{}` of the Service `{}`",
                    excerpt(port.name()?),
                    excerpt(service.name)
                ));
            }
        }
    }
    Ok(format!(
        "no Service exposes the exporter's port {number}, and no PodMonitor scrapes it: add the port to a Service"
    ))
}
