//! Checks pods, and workloads by their pod templates.

use std::collections::BTreeSet;

use policy_core::{Cluster, Operation, Request, Undecided, Verdict};
use policy_kubernetes::pod::{self, Pod};
use policy_kubernetes::workloads::labels_of_pods;
use policy_kubernetes::{Labels, WorkloadKinds};

use crate::NetworkPolicyRequired;
use crate::missing::{MissingPolicy, NamespacePolicies};
use crate::settings::{ControlId, Grace};

/// Reports the requirements that the NetworkPolicies of the namespace do not meet for the pods of a request.
pub(crate) fn evaluate(
    settings: &NetworkPolicyRequired,
    request: &Request<'_>,
    cluster: &dyn Cluster,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let kinds = WorkloadKinds::with(&settings.pod_templates);
    let is_pod = request.kind.kind == "Pod";
    let changes_pod = is_pod && request.operation == Operation::Update && request.old_object.is_set()?;
    if !changes_pod && !pod::is_significant(request, kinds)? {
        return Ok(());
    }
    let Some(pod) = Pod::of(request, kinds)? else { return Ok(()) };
    let labels = labels_of_pods(request.kind.kind, request.display_name()?, pod.metadata.at("labels"))?;
    let before =
        if changes_pod { Labels::of(request.old_object.at("metadata.labels"))? } else { labels.clone() };
    if changes_pod && before.iter().eq(labels.iter()) {
        return Ok(());
    }
    let on_the_node = pod.spec.at("hostNetwork");
    if on_the_node.is_true()? {
        // `hostNetwork` is immutable, so a change of labels makes no difference.
        if !changes_pod && settings.wants(ControlId::HostNetwork) {
            let message =
                "must not be true: NetworkPolicies do not reliably isolate pods on the host network";
            verdict.deny_by(ControlId::HostNetwork.as_str(), on_the_node, message);
        }
        return Ok(());
    }
    let arena = request.object.arena();
    let namespace = NamespacePolicies::read(settings, request.namespace, None, cluster, arena)?;
    let known = if changes_pod { namespace.missing(&before)? } else { BTreeSet::new() };
    for lack in namespace.missing(&labels)?.difference(&known) {
        let field = match lack {
            MissingPolicy::DefaultDeny(_) => request.object.at("metadata.namespace"),
            MissingPolicy::Isolation(_) | MissingPolicy::Dns(_) => pod.metadata.at("labels"),
        };
        let message = lack.message(settings, request.namespace);
        match settings.grace {
            Grace::WarnWorkload if !is_pod => verdict.warn(field, message),
            Grace::None | Grace::WarnWorkload => verdict.deny_by(lack.control().as_str(), field, message),
        }
    }
    Ok(())
}
