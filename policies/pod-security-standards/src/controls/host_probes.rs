//! Probes and lifecycle hooks that the kubelet would send elsewhere.
//!
//! **Fields**: `host` of `httpGet` and `tcpSocket`, in the three probes and the two lifecycle hooks of each container.
//! **Allowed**: not set, empty. `127.0.0.1` is the node's, not the pod's, and is denied as well.

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS: &[&str] = &["postStart", "preStop"];

pub(crate) fn v1_34(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        for probe in PROBES {
            hosts(container.field.at(probe), offences)?;
        }
        let lifecycle = container.field.at("lifecycle");
        for hook in HOOKS {
            hosts(lifecycle.at(hook), offences)?;
        }
    }
    Ok(())
}

fn hosts(handler: Field<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for host in [handler.at("httpGet.host"), handler.at("tcpSocket.host")] {
        let name = host.text()?;
        if !name.is_empty() {
            offences.add(host, format!("must not be set, is {}", quote(name)));
        }
    }
    Ok(())
}
