//! Probes and lifecycle hooks that connect to another host.
//!
//! **Fields**: `host` of `httpGet` and `tcpSocket`, in the three probes and the two lifecycle hooks of each container.
//! **Allowed**: not set, empty. `127.0.0.1` is denied because it is the node's loopback, not the pod's.

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS: &[&str] = &["postStart", "preStop"];

pub(crate) fn v1_34(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        for probe in PROBES {
            hosts(container.field.at(probe), violations)?;
        }
        let lifecycle = container.field.at("lifecycle");
        for hook in HOOKS {
            hosts(lifecycle.at(hook), violations)?;
        }
    }
    Ok(())
}

fn hosts(handler: Field<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for host in [handler.at("httpGet.host"), handler.at("tcpSocket.host")] {
        let name = host.text()?;
        if !name.is_empty() {
            violations.add(host, format!("must not be set, is {}", quote(name)));
        }
    }
    Ok(())
}
