//! Finds the port that serves metrics, and names it.

use policy_core::{Field, Undecided, Verdict};
use policy_kubernetes::exporters;
use policy_kubernetes::pod::{Pod, is_tcp};

/// The port name that monitors select.
const METRICS: &str = "metrics";

fn is_metrics(name: &str, number: Option<i64>, further: &[u32]) -> bool {
    let known = |number: i64| {
        exporters::is_exporter_port(number) || further.iter().any(|further| i64::from(*further) == number)
    };
    matches!(name, METRICS | "prometheus")
        || name.starts_with("metrics-")
        || name.ends_with("-metrics")
        || number.is_some_and(known)
}

/// The number of the pod's metrics port, if it has one. Names the first unnamed one `metrics`, if the name is free.
///
/// The port of an injected exporter counts last, so that the result does not depend on the order of the mutating policies.
pub(crate) fn of_pod(
    pod: &Pod<'_>,
    further: &[u32],
    verdict: &mut Verdict,
) -> Result<Option<i64>, Undecided> {
    let added = pod.added_container()?;
    let (mut own, mut of_added, mut unnamed, mut is_taken) = (None, None, None, false);
    for container in &pod.containers {
        // An init container that has ended does not listen on its port.
        if !container.keeps_running()? {
            continue;
        }
        let is_added = added.is_some() && added == container.field.at("name").str()?;
        for port in container.ports()? {
            let (name, number) = (port.name()?, port.written_number()?);
            is_taken |= name == METRICS;
            if !port.is_tcp()? || !is_metrics(name, number, further) {
                continue;
            }
            let found = if is_added { &mut of_added } else { &mut own };
            *found = found.or(number);
            if name.is_empty() {
                unnamed = unnamed.or(Some(port.field.at("name")));
            }
        }
    }
    if let (Some(field), false) = (unnamed, is_taken) {
        verdict.set(field, METRICS);
    }
    Ok(own.or(of_added))
}

/// Whether a Service has a metrics port. Names it `metrics` if it is the only port and has no name.
pub(crate) fn of_service(spec: Field<'_>, further: &[u32], verdict: &mut Verdict) -> Result<bool, Undecided> {
    let ports = spec.at("ports");
    let count = ports.items()?.len();
    let mut found = false;
    for port in ports.items()? {
        let (name, target) = (port.at("name").text()?, port.at("targetPort"));
        // A `targetPort` is a number or the name of a container port.
        let (number, target_name) = match target.value()? {
            Some(policy_core::Value::String(name)) => (port.at("port").int()?, *name),
            Some(_) => (target.int()?, ""),
            None => (port.at("port").int()?, ""),
        };
        if !is_tcp(port)? || !(is_metrics(name, number, further) || is_metrics(target_name, None, further)) {
            continue;
        }
        found = true;
        // With several ports, the API server requires a name for each.
        if name.is_empty() && count == 1 {
            verdict.set(port.at("name"), METRICS);
        }
    }
    Ok(found)
}
