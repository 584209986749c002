//! Finds the running pods that would lose isolation or DNS access if a NetworkPolicy is created, changed or removed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use policy_core::path::excerpt;
use policy_core::{Arena, Cluster, Field, Operation, Request, Undecided, Verdict, WatchedKind};
use policy_kubernetes::Labels;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};

use crate::NetworkPolicyRequired;
use crate::missing::{MissingPolicy, NamespacePolicies};

/// The maximum number of pods that a message names.
const NAMED: usize = 10;

/// Whether the request is an UPDATE that changes at most the metadata.
pub(crate) fn is_none(request: &Request<'_>) -> Result<bool, Undecided> {
    let (new, old) = (request.object, request.old_object);
    Ok(request.operation == Operation::Update
        && new.is_set()?
        && old.is_set()?
        && new.at("spec").value()? == old.at("spec").value()?)
}

/// Denies a request that would remove isolation, a default deny or DNS access from running pods.
pub(crate) fn evaluate<'a>(
    settings: &'a NetworkPolicyRequired,
    request: &Request<'a>,
    new: Option<NetworkPolicy<'a>>,
    cluster: &'a dyn Cluster,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let arena = request.object.arena();
    let creates = request.operation == Operation::Create;
    if !creates && !request.old_object.is_set()? {
        return Err(request.old_object.undecided("the request must include the old NetworkPolicy"));
    }
    if request.operation == Operation::Delete && is_being_deleted(request.namespace, cluster, arena)? {
        return Ok(());
    }
    let pods = running(request.namespace, cluster, arena)?;
    if pods.is_empty() {
        return Ok(());
    }
    // The request is newer than the cluster data.
    let policy = if creates { request.object } else { request.old_object };
    let name = policy.at("metadata.name").text()?;
    let mut namespace = NamespacePolicies::read(settings, request.namespace, Some(name), cluster, arena)?;
    let before = if creates {
        needs(&namespace, &pods)?
    } else {
        match NetworkPolicy::read(request.old_object, request.namespace) {
            Ok(old) => {
                namespace.add(old);
                let before = needs(&namespace, &pods)?;
                namespace.pop();
                before
            }
            // The old policy may have isolated every pod, so assume that no pod lacked anything.
            Err(_) => MissingByPod::default(),
        }
    };
    new.into_iter().for_each(|new| namespace.add(new));
    let after = needs(&namespace, &pods)?;
    let field = match request.operation {
        Operation::Delete => Field::missing(arena),
        _ => request.object.at("spec"),
    };
    after.report_new(&before, creates, field, request.namespace, verdict);
    Ok(())
}

/// Whether the namespace is being deleted, with everything in it.
fn is_being_deleted(namespace: &str, cluster: &dyn Cluster, arena: &Arena) -> Result<bool, Undecided> {
    let WatchedKind { group, kind, .. } = WatchedKind::NAMESPACE;
    let missing = || {
        Undecided::cluster_error(format!(
            "needs the Namespace `{}`, which does not exist",
            excerpt(namespace)
        ))
    };
    let object = cluster.get(group, kind, None, namespace, arena)?.ok_or_else(missing)?;
    object.at("metadata.deletionTimestamp").is_set()
}

/// The names and labels of the pods in a namespace, without finished pods, pods being deleted and pods on the host network.
fn running<'a>(
    namespace: &str,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
) -> Result<Vec<(&'a str, Labels<'a>)>, Undecided> {
    let WatchedKind { group, kind, .. } = WatchedKind::POD;
    let mut pods = Vec::new();
    for object in cluster.list(group, kind, Some(namespace), arena)? {
        let name = object.at("metadata.name").text()?;
        let of_pod = |undecided: Undecided| undecided.in_object(kind, name);
        let has_ended = matches!(object.at("status.phase").text().map_err(of_pod)?, "Succeeded" | "Failed");
        let is_being_deleted = object.at("metadata.deletionTimestamp").is_set().map_err(of_pod)?;
        let on_the_node = object.at("spec.hostNetwork").is_true().map_err(of_pod)?;
        if !has_ended && !is_being_deleted && !on_the_node {
            pods.push((name, Labels::of(object.at("metadata.labels")).map_err(of_pod)?));
        }
    }
    Ok(pods)
}

/// The requirements that are not met, with the names of the pods.
#[derive(Default)]
struct MissingByPod<'a> {
    missing: BTreeMap<MissingPolicy, BTreeSet<&'a str>>,
    /// Pods that no policy isolates for egress, so that they can reach DNS.
    free: BTreeSet<&'a str>,
}

/// Finds the unmet requirements of all pods. Pods with equal labels are evaluated once.
fn needs<'a>(
    namespace: &NamespacePolicies<'_>,
    pods: &[(&'a str, Labels<'a>)],
) -> Result<MissingByPod<'a>, Undecided> {
    let mut needs = MissingByPod::default();
    let mut known = BTreeMap::new();
    for (name, labels) in pods {
        let (missing, is_isolated) = match known.entry(labels.iter().collect::<Vec<_>>()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert((namespace.missing(labels)?, namespace.isolates(Direction::Egress, labels)))
            }
        };
        for lack in &*missing {
            needs.missing.entry(*lack).or_default().insert(name);
        }
        if !*is_isolated {
            needs.free.insert(name);
        }
    }
    Ok(needs)
}

impl MissingByPod<'_> {
    /// Reports requirements that were met before and no longer are. If pods become isolated and lose DNS, this is a warning,
    /// because the policy that allows DNS may be applied next.
    fn report_new(
        &self,
        before: &MissingByPod<'_>,
        creates: bool,
        field: Field<'_>,
        namespace: &str,
        verdict: &mut Verdict,
    ) {
        for (lack, named) in &self.missing {
            let known = before.missing.get(lack);
            let lost = named.iter().filter(|pod| known.is_none_or(|known| !known.contains(*pod)));
            let may_follow =
                |pod: &str| creates || (matches!(lack, MissingPolicy::Dns(_)) && before.free.contains(pod));
            let (warned, denied): (Vec<&str>, Vec<&str>) = lost.partition(|pod| may_follow(pod));
            let message = |pods: &[&str]| format!("{} {}", list(pods), lack.consequence(namespace));
            if !warned.is_empty() {
                verdict.warn(field, message(&warned));
            }
            if !denied.is_empty() {
                verdict.deny_by(lack.control().as_str(), field, message(&denied));
            }
        }
    }
}

/// Formats names for a message: the pods `a`, `b` and 3 more.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{}`", excerpt(name))).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the pod{} {}{more}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}
