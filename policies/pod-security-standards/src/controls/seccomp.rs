//! Seccomp profiles.
//!
//! **Fields**: up to v1.18 the annotations `seccomp.security.alpha.kubernetes.io/pod` and
//! `container.seccomp.security.alpha.kubernetes.io/<container>`; from v1.19 on `securityContext.seccompProfile.type`
//! of the pod and of each container.
//! **Allowed**: `RuntimeDefault` and `Localhost` (annotations: `runtime/default`, `docker/default`, `localhost/*`).
//! Baseline allows none at all; restricted wants one for every container, its own or the pod's, but leaves Windows pods
//! alone from v1.25 on.

use std::collections::BTreeMap;

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_ANNOTATION_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(crate) fn baseline_v1_0(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    // A map, as elsewhere, and no set: one kind of tree keeps the guest 2 KB smaller.
    let mut names = BTreeMap::new();
    for container in &pod.containers {
        let name = container.field.at("name").text()?;
        names.insert(name, name);
    }
    for (key, annotation) in pod.annotations().members()? {
        let of_container = key.strip_prefix(CONTAINER_ANNOTATION_PREFIX);
        let evaluated = key == POD_ANNOTATION || of_container.is_some_and(|name| names.contains_key(name));
        let value = annotation.text()?;
        let allowed =
            matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
        if evaluated && !allowed {
            offences
                .add(annotation, format!("must be `runtime/default` or `localhost/…`, is {}", quote(value)));
        }
    }
    Ok(())
}

pub(crate) fn baseline_v1_19(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        profile(security_context, offences)?;
    }
    Ok(())
}

pub(crate) fn restricted_v1_19(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    let pod_has_one = profile(pod.security_context(), offences)?;
    for container in &pod.containers {
        if !profile(container.security_context, offences)? && !pod_has_one {
            let field = container.security_context.at("seccompProfile.type");
            offences
                .add(field, "must be `RuntimeDefault` or `Localhost` here or in the pod's securityContext");
        }
    }
    Ok(())
}

pub(crate) fn restricted_v1_25(pod: &Pod<'_>, offences: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    if pod.is_windows()? { Ok(()) } else { restricted_v1_19(pod, offences) }
}

/// Judges the profile, and says whether there is one, allowed or not.
fn profile(security_context: Field<'_>, offences: &mut ControlViolations<'_>) -> Result<bool, Undecided> {
    let profile = security_context.at("seccompProfile");
    let kind = profile.at("type");
    let name = kind.text()?;
    let is_set = profile.is_set()?;
    if is_set && !matches!(name, "RuntimeDefault" | "Localhost") {
        offences.add(kind, format!("must be `RuntimeDefault` or `Localhost`, is {}", quote(name)));
    }
    Ok(is_set)
}
