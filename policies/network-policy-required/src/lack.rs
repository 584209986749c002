//! What a pod lacks among the NetworkPolicies of its namespace.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use policy_connectivity::{Direction, NAMESPACE_NAME, NamedPort, NetworkPolicy, Peer, Protocol, Range, Rule};
use policy_core::{Arena, Cluster, Labels, Read, Selector, Undecided};

use crate::NetworkPolicyRequired;
use crate::settings::{ControlId, of};

/// What a pod needs and does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// No policy isolates it that way.
    Isolation(Direction),
    /// No policy of the namespace denies by default that way.
    DefaultDeny(Direction),
    /// It may not ask DNS over that protocol.
    Dns(Protocol),
}

impl Lack {
    /// The control that asks for it.
    pub(crate) fn control(self) -> ControlId {
        match self {
            Lack::Isolation(way) => of(way, ControlId::IsolatedIngress, ControlId::IsolatedEgress),
            Lack::DefaultDeny(way) => of(way, ControlId::DefaultDenyIngress, ControlId::DefaultDenyEgress),
            Lack::Dns(_) => ControlId::Dns,
        }
    }

    /// What to say of it to whoever makes the pod.
    pub(crate) fn message(self, settings: &NetworkPolicyRequired, namespace: &str) -> String {
        match self {
            Lack::Isolation(way) => format!(
                "must be selected by a NetworkPolicy of `{namespace}` that isolates for {0}: its podSelector takes these \
                 labels, its policyTypes list {1}",
                way.as_str(),
                way.policy_type()
            ),
            Lack::DefaultDeny(way) => format!(
                "must have a default deny for {0}: a NetworkPolicy of `{namespace}` with `podSelector: {{}}`, \
                 `policyTypes: [{1}]` and no rule for {0}",
                way.as_str(),
                way.policy_type()
            ),
            Lack::Dns(protocol) => {
                let server = &settings.dns_server;
                format!(
                    "must be let through to DNS by a NetworkPolicy of `{namespace}`: egress to {} on {} {}",
                    shown(server),
                    protocol.as_str(),
                    server.port
                )
            }
        }
    }

    /// What to say of it to whoever takes a policy away: that pods would … .
    pub(crate) fn consequence(self, namespace: &str) -> String {
        match self {
            Lack::Isolation(way) => format!("would no longer be isolated for {}", way.as_str()),
            Lack::DefaultDeny(way) => {
                format!("would be left in `{namespace}` without its default deny for {}", way.as_str())
            }
            Lack::Dns(protocol) => format!("could no longer ask DNS over {}", protocol.as_str()),
        }
    }
}

fn shown(server: &crate::DnsServer) -> String {
    let labels: Vec<String> = server.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("pods `{}` of `{}`", labels.join(","), server.namespace)
}

/// The NetworkPolicies of a namespace, and where to look further.
pub(crate) struct Namespace<'a> {
    settings: &'a NetworkPolicyRequired,
    name: &'a str,
    policies: Vec<Known<'a>>,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
}

/// A policy, and over which protocols it lets pods ask DNS: found out once, for however many pods.
struct Known<'a> {
    policy: NetworkPolicy<'a>,
    dns: OnceCell<Result<Vec<Protocol>, Undecided>>,
}

/// Over which DNS is asked.
const DNS: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

impl<'a> Namespace<'a> {
    /// The policies that there are, but the one of that name: the request knows it better.
    pub(crate) fn read(
        settings: &'a NetworkPolicyRequired,
        name: &'a str,
        except: Option<&str>,
        cluster: &'a dyn Cluster,
        arena: &'a Arena,
    ) -> Result<Self, Undecided> {
        let Read { group, kind, .. } = Read::NETWORK_POLICY;
        let mut namespace = Namespace { settings, name, policies: Vec::new(), cluster, arena };
        for object in cluster.list(group, kind, Some(name), arena)? {
            let called = object.at("metadata.name").text().unwrap_or_default();
            // One that is on its way out isolates for as long as a finalizer holds it, and not for the pods to come.
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
        self.policies.push(Known { policy, dns: OnceCell::new() });
    }

    /// Takes the policy away that was added last.
    pub(crate) fn take_last(&mut self) {
        drop(self.policies.pop());
    }

    /// What a pod with these labels lacks here.
    pub(crate) fn lacks(&self, labels: &Labels<'_>) -> Result<BTreeSet<Lack>, Undecided> {
        let mut lacks = BTreeSet::new();
        for way in Direction::BOTH {
            if !self.isolates(way, labels) {
                lacks.insert(Lack::Isolation(way));
            }
            if !self.policies.iter().any(|known| known.policy.denies_by_default(way)) {
                lacks.insert(Lack::DefaultDeny(way));
            }
        }
        if self.settings.wants(ControlId::Dns) && self.isolates(Direction::Egress, labels) {
            for protocol in DNS {
                if !self.answers(protocol, labels)? {
                    lacks.insert(Lack::Dns(protocol));
                }
            }
        }
        lacks.retain(|lack| self.settings.wants(lack.control()));
        Ok(lacks)
    }

    /// Whether a policy isolates a pod with these labels that way.
    pub(crate) fn isolates(&self, way: Direction, labels: &Labels<'_>) -> bool {
        self.policies.iter().any(|known| known.policy.isolates(way, labels))
    }

    /// Whether a pod may ask DNS over a protocol.
    fn answers(&self, protocol: Protocol, labels: &Labels<'_>) -> Result<bool, Undecided> {
        for known in self.policies.iter().filter(|known| known.policy.isolates(Direction::Egress, labels)) {
            match known.dns.get_or_init(|| self.dns(&known.policy)) {
                Ok(protocols) if protocols.contains(&protocol) => return Ok(true),
                Ok(_) => {}
                Err(undecided) => return Err(undecided.clone()),
            }
        }
        Ok(false)
    }

    /// Over which protocols a policy lets the pods that it selects ask DNS.
    fn dns(&self, policy: &NetworkPolicy<'a>) -> Result<Vec<Protocol>, Undecided> {
        let number = self.settings.dns_server.port;
        // What CoreDNS calls its ports.
        let named = [("dns", Protocol::Udp), ("dns-tcp", Protocol::Tcp)].map(|(name, protocol)| NamedPort {
            name,
            protocol,
            number,
        });
        let mut allowed = Vec::new();
        for rule in &policy.side(Direction::Egress).rules {
            // Outside of the cluster nothing is called anything.
            let ways = [(rule.ports(&named), true), (rule.ports(&[]), false)];
            for (ports, of_pods) in ways {
                let open = DNS.into_iter().filter(|protocol| ports.contains(*protocol, number));
                let open: Vec<Protocol> = open.collect();
                if !open.is_empty() && if of_pods { self.names_pods(rule)? } else { self.names_cache(rule) } {
                    allowed.extend(open);
                }
            }
        }
        Ok(allowed)
    }

    /// Whether a rule is for the cache on the nodes, if there is one.
    fn names_cache(&self, rule: &Rule<'a>) -> bool {
        let cache = self.settings.dns_server.address.map(|address| Range { first: address, last: address });
        cache.is_some_and(|cache| rule.takes(&cache))
    }

    /// Whether a rule is for the pods that answer DNS.
    fn names_pods(&self, rule: &Rule<'a>) -> Result<bool, Undecided> {
        let server = &self.settings.dns_server;
        let labels: Labels<'_> = server.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for peer in &rule.peers {
            let Peer::Pods { namespaces, pods } = peer else { continue };
            let is_there = match namespaces {
                _ if !pods.takes(&labels) => false,
                None => self.name == server.namespace,
                Some(namespaces) => self.is_namespace_of_dns(namespaces)?,
            };
            if is_there {
                return Ok(true);
            }
        }
        Ok(rule.peers.is_empty())
    }

    /// Whether a selector takes the namespace of DNS. Only where it asks for more than the name is the Namespace looked up.
    fn is_namespace_of_dns(&self, selector: &Selector<'a>) -> Result<bool, Undecided> {
        let name = self.settings.dns_server.namespace.as_str();
        let named: Labels<'_> = [(NAMESPACE_NAME, name)].into_iter().collect();
        let of_the_name =
            |requirement: &&_| policy_core::selector::Requirement::key(requirement) == NAMESPACE_NAME;
        let by_name =
            Selector { requirements: selector.requirements.iter().filter(of_the_name).cloned().collect() };
        if !by_name.takes(&named) || by_name.requirements.len() == selector.requirements.len() {
            return Ok(by_name.takes(&named));
        }
        let Read { group, kind, .. } = Read::NAMESPACE;
        let object = self.cluster.get(group, kind, None, name, self.arena)?;
        let missing = || {
            Undecided::of_cluster(format!("needs the labels of the Namespace `{name}`, which is not there"))
        };
        let labels = Labels::of(object.ok_or_else(missing)?.at("metadata.labels"));
        let mut labels = labels.map_err(|undecided| undecided.in_object(kind, name))?;
        labels.add(NAMESPACE_NAME, self.arena.text(name));
        Ok(selector.takes(&labels))
    }
}
