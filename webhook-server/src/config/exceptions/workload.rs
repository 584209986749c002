//! The workloads that an object belongs to, as far as its owner references can be trusted.

use policy_core::{Operation, Request, Undecided};
use policy_kubernetes::WorkloadKinds;
use policy_kubernetes::workloads::{ancestors, is_controller_of, owner_of};

/// The workload names that an exception can use for the object: its own name, and the names of its owners.
///
/// The client that creates a pod also sets its owner references. They are trusted only if the controller for this kind of owner
/// creates the object. This way a pod cannot except itself, and an ephemeral container that a user adds is not excepted.
///
/// Pods name only their ReplicaSet or Job. Its name is the Deployment's name and a hash, or the CronJob's name and a time.
pub(super) fn workloads(request: &Request<'_>, kinds: WorkloadKinds<'_>) -> Result<Vec<String>, Undecided> {
    // A DELETE request contains the object only as the old object.
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
