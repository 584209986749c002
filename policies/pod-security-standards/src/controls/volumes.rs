//! Where volumes come from.
//!
//! **Fields**: `spec.volumes[*]`. **Allowed** at baseline: anything but `hostPath`; at restricted: the sources listed here,
//! and none at all, which the API server makes an `emptyDir`. A source that is not known is not allowed.

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

pub(crate) fn host_path_v1_0(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for volume in volumes(pod)? {
        let host_path = volume.at("hostPath");
        if host_path.is_set()? {
            offences.add(host_path, "must not be used");
        }
    }
    Ok(())
}

pub(crate) fn restricted_v1_0(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for volume in volumes(pod)? {
        for (key, source) in volume.members()? {
            if key != "name" && source.is_set()? && !RESTRICTED.contains(&key) {
                let message =
                    format!("must not be a volume of type {}, only {}", quote(key), RESTRICTED.join(", "));
                offences.add(source, message);
            }
        }
    }
    Ok(())
}

fn volumes<'a>(pod: &Pod<'a>) -> Result<impl Iterator<Item = Field<'a>>, Undecided> {
    pod.spec.at("volumes").items()
}
