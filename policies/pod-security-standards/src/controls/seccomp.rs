//! Seccomp profiles.
//!
//! **Fields**: up to v1.18, the annotations `seccomp.security.alpha.kubernetes.io/pod` and
//! `container.seccomp.security.alpha.kubernetes.io/<container>`; since v1.19, `securityContext.seccompProfile.type`
//! of the pod and of each container.
//! **Allowed**: `RuntimeDefault` and `Localhost` (annotations: `runtime/default`, `docker/default`, `localhost/*`).
//! Baseline also allows no profile. Restricted requires a profile for every container, its own or the pod's; since v1.25,
//! it exempts Windows pods.

use std::collections::BTreeMap;

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_ANNOTATION_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(crate) fn baseline_v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    // A map instead of a set, because other code already uses maps: this makes the WebAssembly module 2 KB smaller.
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
            violations
                .add(annotation, format!("must be `runtime/default` or `localhost/…`, is {}", quote(value)));
        }
    }
    Ok(())
}

pub(crate) fn baseline_v1_19(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        profile(security_context, violations)?;
    }
    Ok(())
}

pub(crate) fn restricted_v1_19(
    pod: &Pod<'_>,
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    let pod_has_one = profile(pod.security_context(), violations)?;
    for container in &pod.containers {
        if !profile(container.security_context, violations)? && !pod_has_one {
            let field = container.security_context.at("seccompProfile.type");
            violations
                .add(field, "must be `RuntimeDefault` or `Localhost` here or in the pod's securityContext");
        }
    }
    Ok(())
}

pub(crate) fn restricted_v1_25(
    pod: &Pod<'_>,
    violations: &mut ControlViolations<'_>,
) -> Result<(), Undecided> {
    if pod.is_windows()? { Ok(()) } else { restricted_v1_19(pod, violations) }
}

/// Checks the profile, and returns whether one is set, allowed or not.
fn profile(security_context: Field<'_>, violations: &mut ControlViolations<'_>) -> Result<bool, Undecided> {
    let profile = security_context.at("seccompProfile");
    let kind = profile.at("type");
    let name = kind.text()?;
    let is_set = profile.is_set()?;
    if is_set && !matches!(name, "RuntimeDefault" | "Localhost") {
        violations.add(kind, format!("must be `RuntimeDefault` or `Localhost`, is {}", quote(name)));
    }
    Ok(is_set)
}
