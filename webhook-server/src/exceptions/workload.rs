//! Whose an object is, as far as that can be believed.

use policy_core::workload::workload_behind;
use policy_core::{Operation, Request, Undecided};

/// The names under which an exception may know the object: its own, and that of the workload which controls it.
///
/// Whoever makes a pod writes its owner references too: they are believed where the controller of such owners makes the
/// object, and nobody else. So a pod cannot except itself, and neither can an ephemeral container that somebody adds.
///
/// A ReplicaSet's name is its Deployment's and a hash, a Job's its CronJob's and a time: their pods name only those.
pub(super) fn workloads(request: &Request<'_>) -> Result<Vec<String>, Undecided> {
    // What goes is only in the request as it was.
    let object = if request.operation == Operation::Delete { request.old_object } else { request.object };
    let mut names = vec![format!("{}/{}", request.kind.name, object.at("metadata.name").text()?)];
    let user = request.user_info.at("username").text()?;
    for owner in object.at("metadata.ownerReferences").items()? {
        let (kind, name) = (owner.at("kind").text()?, owner.at("name").text()?);
        let made_by_its_controller = request.operation == Operation::Create && is_controller_of(kind, user);
        if !made_by_its_controller || !owner.at("controller").is_true()? {
            continue;
        }
        names.push(format!("{kind}/{name}"));
        let hash = object.at("metadata.labels").key("pod-template-hash").text()?;
        names.extend(workload_behind(kind, name, hash).map(|(kind, name)| format!("{kind}/{name}")));
    }
    Ok(names)
}

/// Whether a user is the controller manager, as what makes the pods of such owners: with an account for each controller
/// (`--use-service-account-credentials`), or with one for all.
fn is_controller_of(kind: &str, user: &str) -> bool {
    let controller = match kind {
        "CronJob" => "cronjob-controller",
        "DaemonSet" => "daemon-set-controller",
        "Deployment" => "deployment-controller",
        "Job" => "job-controller",
        "ReplicaSet" => "replicaset-controller",
        "ReplicationController" => "replication-controller",
        "StatefulSet" => "statefulset-controller",
        _ => return false,
    };
    user == "system:kube-controller-manager"
        || user.strip_prefix("system:serviceaccount:kube-system:") == Some(controller)
}
