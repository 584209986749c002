//! Whether NetworkPolicies let Prometheus reach a port, on its side and on the other.

use policy_connectivity::{Direction, NamedPort, NetworkPolicy, Peer, Protocol};
use policy_core::path::excerpt;
use policy_core::selector::Labels;
use policy_core::{Read, Undecided};

use crate::set::{Pods, Set};

/// The NetworkPolicies that let it through, by their names; none: nothing isolates them. Or what is in the way.
pub(crate) fn reached<'a>(
    set: &Set<'a>,
    pods: &Pods<'a>,
    number: u16,
) -> Result<Result<Vec<String>, String>, Undecided> {
    let prometheus = &set.settings.prometheus;
    let labels = prometheus.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let caller = End { namespace: &prometheus.namespace, labels: labels.collect(), ports: Vec::new() };
    let ports = pods.containers.iter().flat_map(|container| &container.ports);
    let named =
        |(name, number): &(&'a str, u16)| NamedPort { name, protocol: Protocol::Tcp, number: *number };
    let callee =
        End { namespace: pods.namespace, labels: pods.labels.clone(), ports: ports.map(named).collect() };
    let mut through = Vec::new();
    for (direction, own, other) in
        [(Direction::Egress, &caller, &callee), (Direction::Ingress, &callee, &caller)]
    {
        match own.lets(set, direction, other, &callee.ports, number)? {
            Ok(names) => through.extend(names),
            Err(isolating) => {
                let way = match direction {
                    Direction::Egress => format!("lets Prometheus out to {} on port {number}", pods.shown()),
                    Direction::Ingress => format!("lets Prometheus in to {} on port {number}", pods.shown()),
                };
                return Ok(Err(format!(
                    "no NetworkPolicy of `{}` {way}; isolated by {}",
                    excerpt(own.namespace),
                    isolating.join(", ")
                )));
            }
        }
    }
    Ok(Ok(through))
}

/// One end of a connection.
struct End<'a> {
    namespace: &'a str,
    labels: Labels<'a>,
    ports: Vec<NamedPort<'a>>,
}

impl<'a> End<'a> {
    /// The policies that let a connection through here, or those that isolate this end and do not.
    fn lets(
        &self,
        set: &Set<'a>,
        direction: Direction,
        other: &End<'a>,
        named: &[NamedPort<'_>],
        number: u16,
    ) -> Result<Result<Vec<String>, Vec<String>>, Undecided> {
        let Read { group, kind, .. } = Read::NETWORK_POLICY;
        let others = set.namespace_labels(other.namespace)?;
        let (mut through, mut isolating) = (Vec::new(), Vec::new());
        for object in set.objects(group, kind, Some(self.namespace))? {
            let policy = NetworkPolicy::read(object.field, self.namespace)
                .map_err(|undecided| undecided.in_object(kind, object.name))?;
            if !policy.isolates(direction, &self.labels) {
                continue;
            }
            let names = |peer: &Peer<'_>| match peer {
                Peer::Pods { namespaces: None, pods } => {
                    other.namespace == self.namespace && pods.takes(&other.labels)
                }
                Peer::Pods { namespaces: Some(namespaces), pods } => {
                    namespaces.takes(&others) && pods.takes(&other.labels)
                }
                Peer::Block(_) => false,
            };
            let lets = policy.side(direction).rules.iter().any(|rule| {
                (rule.peers.is_empty() || rule.peers.iter().any(names))
                    && rule.ports(named).contains(Protocol::Tcp, number)
            });
            let list = if lets { &mut through } else { &mut isolating };
            list.push(format!("`{}`", excerpt(object.name)));
        }
        Ok(if through.is_empty() && !isolating.is_empty() { Err(isolating) } else { Ok(through) })
    }
}
