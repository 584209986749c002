//! The workloads that an object belongs to, as far as that can be believed.

use policy_core::{Operation, Request, Undecided};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::{ancestors, is_controller_of, owner_of};

/// The names under which an exception may know the object: its own, and that of the workload whose controller made it.
///
/// Whoever creates a pod writes its owner references too: they are believed only if the controller of such owners creates the
/// object. So a pod cannot except itself, and neither can an ephemeral container that somebody adds.
///
/// A ReplicaSet's name is its Deployment's and a hash, a Job's its CronJob's and a time: their pods name only those.
pub(super) fn workloads(request: &Request<'_>, kinds: WorkloadKinds<'_>) -> Result<Vec<String>, Undecided> {
    // What is deleted is only in the request as it was.
    let object = if request.operation == Operation::Delete { request.old_object } else { request.object };
    let mut names = vec![format!("{}/{}", request.kind.kind, object.at("metadata.name").text()?)];
    let user = request.user_info.at("username").text()?;
    let Some(owner) = owner_of(object)? else { return Ok(names) };
    if request.operation == Operation::Create && is_controller_of(owner.group, owner.kind, user, kinds) {
        names.push(format!("{}/{}", owner.kind, owner.name));
        let behind = ancestors(owner, object.at("metadata.labels"), kinds)?;
        names.extend(behind.into_iter().map(|(kind, name)| format!("{kind}/{name}")));
    }
    Ok(names)
}
