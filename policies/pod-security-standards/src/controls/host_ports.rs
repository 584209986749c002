//! Host ports.
//!
//! **Fields**: `ports[*].hostPort` of each container. **Allowed**: not set, `0`.

use policy_core::Undecided;
use policy_kubernetes::pod::Pod;

use crate::violations::ControlViolations;

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for container in &pod.containers {
        for port in container.ports()? {
            let host_port = port.field.at("hostPort");
            if let Some(number) = host_port.int()?.filter(|number| *number != 0) {
                violations.add(host_port, format!("must not be set, is {number}"));
            }
        }
    }
    Ok(())
}
