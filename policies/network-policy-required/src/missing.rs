//! Finds the NetworkPolicies that a pod needs and its namespace does not have.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use policy_core::{Arena, Cluster, Undecided, WatchedKind};
use policy_kubernetes::Labels;
use policy_kubernetes::namespace::namespace_labels_in;
use policy_kubernetes::network_policy::{
    Destination, Direction, Endpoint, NetworkPolicy, PodEndpoint, Range,
};
use policy_kubernetes::ports::{NamedPort, Protocol};

use crate::NetworkPolicyRequired;
use crate::settings::{ControlId, of};

/// A requirement that the NetworkPolicies of the namespace do not meet for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MissingPolicy {
    /// No policy isolates the pod in this direction.
    Isolation(Direction),
    /// No policy in the namespace is a default deny for this direction.
    DefaultDeny(Direction),
    /// The pod cannot reach DNS over this protocol.
    Dns(Protocol),
}

impl MissingPolicy {
    /// The control that requires it.
    pub(crate) fn control(self) -> ControlId {
        match self {
            MissingPolicy::Isolation(way) => of(way, ControlId::IsolatedIngress, ControlId::IsolatedEgress),
            MissingPolicy::DefaultDeny(way) => {
                of(way, ControlId::DefaultDenyIngress, ControlId::DefaultDenyEgress)
            }
            MissingPolicy::Dns(_) => ControlId::Dns,
        }
    }

    /// The message for a request that creates or changes the pod.
    pub(crate) fn message(self, settings: &NetworkPolicyRequired, namespace: &str) -> String {
        match self {
            MissingPolicy::Isolation(way) => format!(
                "must be selected by a NetworkPolicy in `{namespace}` that isolates for {0}: its podSelector must match \
                 these labels, its policyTypes must list {1}",
                way.as_str(),
                way.policy_type()
            ),
            MissingPolicy::DefaultDeny(way) => format!(
                "must have a default deny for {0}: a NetworkPolicy in `{namespace}` with `podSelector: {{}}`, \
                 `policyTypes: [{1}]` and no rule for {0}",
                way.as_str(),
                way.policy_type()
            ),
            MissingPolicy::Dns(protocol) => {
                let server = &settings.dns_server;
                format!(
                    "must be allowed to reach DNS by a NetworkPolicy in `{namespace}`: egress to {} on {} {}",
                    shown(server),
                    protocol.as_str(),
                    server.port
                )
            }
        }
    }

    /// The message for a request that removes or changes a policy, without its subject (the pods).
    pub(crate) fn consequence(self, namespace: &str) -> String {
        match self {
            MissingPolicy::Isolation(way) => format!("would no longer be isolated for {}", way.as_str()),
            MissingPolicy::DefaultDeny(way) => {
                format!("would be left in `{namespace}` without a default deny for {}", way.as_str())
            }
            MissingPolicy::Dns(protocol) => format!("could no longer reach DNS over {}", protocol.as_str()),
        }
    }
}

fn shown(server: &crate::DnsServer) -> String {
    let labels: Vec<String> = server.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("pods `{}` in `{}`", labels.join(","), server.namespace)
}

/// The NetworkPolicies of a namespace, with the cluster data to resolve their selectors.
pub(crate) struct NamespacePolicies<'a> {
    settings: &'a NetworkPolicyRequired,
    policies: Vec<CachedPolicy<'a>>,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
}

/// A policy, and the protocols over which it allows DNS. The protocols are computed once, regardless of the number of pods.
struct CachedPolicy<'a> {
    policy: NetworkPolicy<'a>,
    dns: OnceCell<Result<Vec<Protocol>, Undecided>>,
}

/// The protocols that DNS clients use.
const DNS: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

impl<'a> NamespacePolicies<'a> {
    /// Reads the policies from the cluster. Skips the policy named `except`, because the request has its current state.
    pub(crate) fn read(
        settings: &'a NetworkPolicyRequired,
        name: &'a str,
        except: Option<&str>,
        cluster: &'a dyn Cluster,
        arena: &'a Arena,
    ) -> Result<Self, Undecided> {
        let WatchedKind { group, kind, .. } = WatchedKind::NETWORK_POLICY;
        let mut namespace = NamespacePolicies { settings, policies: Vec::new(), cluster, arena };
        for object in cluster.list(group, kind, Some(name), arena)? {
            let called = object.at("metadata.name").text().unwrap_or_default();
            // A policy that is being deleted isolates only until its finalizers are removed, so new pods cannot rely on it.
            if except == Some(called) || object.at("metadata.deletionTimestamp").is_set()? {
                continue;
            }
            let read = NetworkPolicy::read(object, name);
            namespace.add(read.map_err(|undecided| undecided.in_object(kind, called))?);
        }
        Ok(namespace)
    }

    /// Adds a policy.
    pub(crate) fn add(&mut self, policy: NetworkPolicy<'a>) {
        self.policies.push(CachedPolicy { policy, dns: OnceCell::new() });
    }

    /// Removes the policy that was added last.
    pub(crate) fn pop(&mut self) {
        drop(self.policies.pop());
    }

    /// The requirements that these policies do not meet for a pod with these labels.
    pub(crate) fn missing(&self, labels: &Labels<'_>) -> Result<BTreeSet<MissingPolicy>, Undecided> {
        let mut missing = BTreeSet::new();
        for way in Direction::BOTH {
            if !self.isolates(way, labels) {
                missing.insert(MissingPolicy::Isolation(way));
            }
            if !self.policies.iter().any(|known| known.policy.denies_by_default(way)) {
                missing.insert(MissingPolicy::DefaultDeny(way));
            }
        }
        if self.settings.wants(ControlId::Dns) && self.isolates(Direction::Egress, labels) {
            for protocol in DNS {
                if !self.reaches_dns(protocol, labels)? {
                    missing.insert(MissingPolicy::Dns(protocol));
                }
            }
        }
        missing.retain(|lack| self.settings.wants(lack.control()));
        Ok(missing)
    }

    /// Whether a policy isolates a pod with these labels in this direction.
    pub(crate) fn isolates(&self, way: Direction, labels: &Labels<'_>) -> bool {
        self.policies.iter().any(|known| known.policy.isolates(way, labels))
    }

    /// Whether a pod with these labels can reach DNS over a protocol.
    fn reaches_dns(&self, protocol: Protocol, labels: &Labels<'_>) -> Result<bool, Undecided> {
        for known in self.policies.iter().filter(|known| known.policy.isolates(Direction::Egress, labels)) {
            match known.dns.get_or_init(|| self.dns(&known.policy)) {
                Ok(protocols) if protocols.contains(&protocol) => return Ok(true),
                Ok(_) => {}
                Err(undecided) => return Err(undecided.clone()),
            }
        }
        Ok(false)
    }

    /// The protocols over which a policy allows the pods that it selects to reach DNS.
    fn dns(&self, policy: &NetworkPolicy<'a>) -> Result<Vec<Protocol>, Undecided> {
        let server = &self.settings.dns_server;
        let number = server.port;
        // The port names that CoreDNS uses.
        let named = [("dns", Protocol::Udp), ("dns-tcp", Protocol::Tcp)].map(|(name, protocol)| NamedPort {
            name,
            protocol,
            number,
        });
        let labels: Labels<'_> = server.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let pods = Endpoint::Pod(PodEndpoint { namespace: &server.namespace, labels: &labels });
        let cache =
            server.address.map(|address| Endpoint::Addresses(Range { first: address, last: address }));
        let labels_of = |namespace: &str| namespace_labels_in(self.cluster, namespace, self.arena);
        let mut allowed = Vec::new();
        for protocol in DNS {
            // Named ports exist only on pods, not on addresses.
            for (named, endpoint) in [(&named[..], Some(&pods)), (&[], cache.as_ref())] {
                let Some(endpoint) = endpoint else { continue };
                let destination = Destination { protocol, number, named };
                if policy.allows(Direction::Egress, endpoint, destination, &labels_of)? {
                    allowed.push(protocol);
                }
            }
        }
        Ok(allowed)
    }
}
