//! Owners: the controller of an object, and the workloads behind it.

use policy_core::kinds::is_same_group;
use policy_core::{Field, Undecided};

use super::{Controller, NameOf, WorkloadKind, WorkloadKinds};

/// The controller of an object, from its owner references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The API group, such as `apps`.
    pub group: &'a str,
    /// `ReplicaSet`.
    pub kind: &'a str,
    /// `web-5d4f8c7b9`.
    pub name: &'a str,
}

/// The controller of an object (`metadata.ownerReferences`). The Node that owns a static pod is not a controller.
///
/// Any client that creates an object can set its owner references: see [`is_controller_of`].
///
/// # Errors
/// The reference of the controller has no kind or no name.
pub fn owner_of(object: Field<'_>) -> Result<Option<Owner<'_>>, Undecided> {
    for owner in object.at("metadata.ownerReferences").items()? {
        let kind = owner.at("kind").text()?;
        if !owner.at("controller").is_true()? || kind == "Node" {
            continue;
        }
        let name = owner.at("name").text()?;
        for (key, value) in [("kind", kind), ("name", name)] {
            if value.is_empty() {
                return Err(owner.at(key).undecided("must be set"));
            }
        }
        let api_version = owner.at("apiVersion").text()?;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        return Ok(Some(Owner { group, kind, name }));
    }
    Ok(None)
}

/// The workloads that create such an owner, by kind and name: the Deployment of a ReplicaSet, or the CronJob of a Job.
///
/// `labels` are the labels of the pod, in which controllers store the hash of the template or the name of the workload.
///
/// # Errors
/// A label is not a string.
pub fn ancestors<'a>(
    owner: Owner<'a>,
    labels: Field<'a>,
    kinds: WorkloadKinds<'_>,
) -> Result<Vec<(&'a str, &'a str)>, Undecided> {
    let mut found = Vec::new();
    let arena = labels.arena();
    for row in kinds.iter() {
        let Some(through) = row.through.filter(|through| through.kind == owner.kind) else { continue };
        let stem = || owner.name.rsplit_once('-');
        let name = match through.name {
            NameOf::HashLabel(label) => {
                let hash = labels.key(arena.text(label)).text()?;
                stem().filter(|(_, end)| !end.is_empty() && *end == hash).map(|(stem, _)| stem)
            }
            NameOf::ScheduledTime => stem()
                .filter(|(_, end)| end.len() >= 8 && end.bytes().all(|byte| byte.is_ascii_digit()))
                .map(|(stem, _)| stem),
            NameOf::NameLabel(label) => labels
                .key(arena.text(label))
                .str()?
                .filter(|name| owner.name.starts_with(&format!("{name}-"))),
        };
        found.extend(name.map(|name| (arena.text(row.kind), name)));
    }
    Ok(found)
}

/// Whether a user is the controller of that kind, so that its owner references can be trusted.
///
/// kube-controller-manager uses one account for each controller (`--use-service-account-credentials`), or one for all of them.
pub fn is_controller_of(group: &str, kind: &str, user: &str, kinds: WorkloadKinds<'_>) -> bool {
    // A reference without an API version is not valid; only the kind is compared then.
    let is_row =
        |row: &WorkloadKind<'_>| row.kind == kind && (group.is_empty() || is_same_group(row.group, group));
    kinds.iter().filter(is_row).any(|row| match row.controller {
        Controller::Manager(name) => {
            user == "system:kube-controller-manager"
                || user.strip_prefix("system:serviceaccount:kube-system:") == Some(name)
        }
        Controller::User(name) => user == name,
        Controller::None | Controller::Unknown => false,
    })
}
