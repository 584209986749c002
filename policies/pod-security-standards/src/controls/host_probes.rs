//! Probes and lifecycle hooks that the kubelet would send elsewhere.
//!
//! **Fields**: `host` of `httpGet` and `tcpSocket`, in the three probes and the two lifecycle hooks of each container.
//! **Allowed**: not set, empty. `127.0.0.1` is the node's, not the pod's, and is denied as well.

use policy_core::Undecided;
use policy_core::pod::Pod;

use super::quote;
use crate::control::Offences;

const HOSTS: &[&str] = &[
    "livenessProbe.httpGet.host",
    "livenessProbe.tcpSocket.host",
    "readinessProbe.httpGet.host",
    "readinessProbe.tcpSocket.host",
    "startupProbe.httpGet.host",
    "startupProbe.tcpSocket.host",
    "lifecycle.postStart.httpGet.host",
    "lifecycle.postStart.tcpSocket.host",
    "lifecycle.preStop.httpGet.host",
    "lifecycle.preStop.tcpSocket.host",
];

pub(crate) fn v1_34(pod: &Pod<'_>, offences: &mut Offences<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        for path in HOSTS {
            let host = container.field.at(path);
            let name = host.str()?.unwrap_or_default();
            if !name.is_empty() {
                offences.add(host, format!("must not be set, is {}", quote(name)));
            }
        }
    }
    Ok(())
}
