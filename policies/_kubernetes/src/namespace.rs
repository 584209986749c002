//! The labels of namespaces.

use policy_core::path::excerpt;
use policy_core::{Arena, Cluster, Field, Undecided, WatchedKind};

use crate::selector::Labels;

/// The label that the API server sets on every Namespace: its name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The labels of the Namespace with that name. Without an object, which a complete manifest set need not contain, only the label
/// for its name, which every Namespace has.
///
/// # Errors
/// `metadata.labels` of the object are not valid.
pub fn namespace_labels<'a>(object: Option<Field<'a>>, name: &'a str) -> Result<Labels<'a>, Undecided> {
    let mut labels = match object {
        Some(object) => Labels::of(object.at("metadata.labels"))
            .map_err(|undecided| undecided.in_object(WatchedKind::NAMESPACE.kind, name))?,
        None => return Ok(implied_labels(name)),
    };
    labels.add(NAMESPACE_NAME, name);
    Ok(labels)
}

/// The labels that every Namespace has.
pub fn implied_labels(name: &str) -> Labels<'_> {
    [(NAMESPACE_NAME, name)].into_iter().collect()
}

/// The labels of a Namespace that exists in the cluster, because an object in it is evaluated or a NetworkPolicy refers to it.
///
/// # Errors
/// The Namespace is not known, or its labels are not valid.
pub fn namespace_labels_in<'a>(
    cluster: &'a dyn Cluster,
    name: &str,
    arena: &'a Arena,
) -> Result<Labels<'a>, Undecided> {
    let WatchedKind { group, kind, .. } = WatchedKind::NAMESPACE;
    let object = cluster.get(group, kind, None, name, arena)?;
    let missing = || {
        let name = excerpt(name);
        Undecided::cluster_error(format!("needs the labels of the Namespace `{name}`, which does not exist"))
    };
    namespace_labels(Some(object.ok_or_else(missing)?), arena.text(name))
}
