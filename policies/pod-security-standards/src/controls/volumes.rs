//! Volume sources.
//!
//! **Fields**: `spec.volumes[*]`. **Allowed** at baseline: every source except `hostPath`; at restricted: the sources listed
//! here, or no source, because the API server then sets `emptyDir`. Restricted does not allow unknown sources.

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const RESTRICTED: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(crate) fn host_path_v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for volume in volumes(pod)? {
        let host_path = volume.at("hostPath");
        if host_path.is_set()? {
            violations.add(host_path, "must not be used");
        }
    }
    Ok(())
}

pub(crate) fn restricted_v1_0(
    pod: &Pod<'_>,
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    for volume in volumes(pod)? {
        for (key, source) in volume.members()? {
            if key != "name" && source.is_set()? && !RESTRICTED.contains(&key) {
                let message =
                    format!("must not be a volume of type {}, only {}", quote(key), RESTRICTED.join(", "));
                violations.add(source, message);
            }
        }
    }
    Ok(())
}

fn volumes<'a>(pod: &Pod<'a>) -> Result<impl Iterator<Item = Field<'a>>, Undecided> {
    pod.spec.at("volumes").items()
}
