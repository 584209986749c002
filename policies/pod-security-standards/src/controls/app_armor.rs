//! AppArmor profiles.
//!
//! **Fields**: `securityContext.appArmorProfile.type` of the pod and of each container; every annotation
//! `container.apparmor.security.beta.kubernetes.io/*`, even if no container has that name.
//! **Allowed**: not set, `RuntimeDefault`, `Localhost`; in annotations: empty, `runtime/default`, `localhost/*`.

use policy_core::{Field, Undecided};
use policy_kubernetes::pod::Pod;

use super::quote;
use crate::violations::ControlViolations;

const ANNOTATION_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(crate) fn v1_0(pod: &Pod<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    for security_context in pod.security_contexts() {
        profile(security_context.at("appArmorProfile"), violations)?;
    }
    for (key, annotation) in pod.annotations().members()? {
        let value = annotation.text()?;
        let allowed = matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
        if key.starts_with(ANNOTATION_PREFIX) && !allowed {
            let message = format!("must be `runtime/default` or `localhost/…`, is {}", quote(value));
            violations.add(annotation, message);
        }
    }
    Ok(())
}

fn profile(profile: Field<'_>, violations: &mut ControlViolations<'_>) -> Result<(), Undecided> {
    let kind = profile.at("type");
    if profile.is_set()? && !matches!(kind.str()?, Some("RuntimeDefault" | "Localhost")) {
        let message = format!("must be `RuntimeDefault` or `Localhost`, is {}", quote(kind.text()?));
        violations.add(kind, message);
    }
    Ok(())
}
