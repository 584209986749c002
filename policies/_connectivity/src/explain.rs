//! Explains why a connection is allowed or denied: the policies that isolate each end, and the rules that allow it.

use std::fmt;
use std::net::IpAddr;

use policy_core::path::excerpt;

use crate::compile::{CompiledRule, PodClass};
use crate::flow::FlowEnd;
use crate::map::Map;
use policy_kubernetes::network_policy::Range;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::ports::{Ports, Protocol};

/// An end of the connection to explain.
#[derive(Clone, Debug)]
pub struct QueryEnd<'a> {
    /// The workload or address.
    pub end: FlowEnd<'a>,
    /// The indices of its pods, one for each combination of labels and ports; empty for an address.
    pods: Vec<usize>,
}

/// The explanation of a connection.
pub struct Explanation<'w, 'a> {
    /// The source.
    pub from: FlowEnd<'a>,
    /// The destination.
    pub to: FlowEnd<'a>,
    /// The destination port.
    pub port: ProtocolPort,
    /// The verdict of the source's policies; `None` if the source is outside of the cluster.
    pub egress: Option<DirectionVerdict<'w, 'a>>,
    /// The verdict of the destination's policies; `None` if the destination is outside of the cluster.
    pub ingress: Option<DirectionVerdict<'w, 'a>>,
    /// Whether an end uses the host network, so that the cluster may behave differently.
    pub unknown: bool,
}

/// A protocol and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port number.
    pub number: u16,
}

/// One pod of an end, or an address.
#[derive(Clone, Copy)]
struct SingleEnd<'a> {
    end: FlowEnd<'a>,
    /// The index of the pod; `None` for an address.
    pod: Option<usize>,
}

/// The verdict of the policies of one end.
pub struct DirectionVerdict<'w, 'a> {
    /// The direction of the connection, seen from that end.
    pub direction: Direction,
    /// The policies that isolate the end; if empty, everything is allowed.
    pub isolated_by: Vec<&'w NetworkPolicy<'a>>,
    /// The rules that allow the connection.
    pub allowed_by: Vec<RuleMatch<'w, 'a>>,
    /// The rules that match the other end, but on other ports.
    pub other_ports: Vec<RuleMatch<'w, 'a>>,
}

/// A rule of a policy.
pub struct RuleMatch<'w, 'a> {
    /// The policy.
    pub policy: &'w NetworkPolicy<'a>,
    /// The index of the rule among the rules of its direction.
    pub rule: usize,
    /// The ports that it allows at the destination.
    pub ports: Ports,
}

impl DirectionVerdict<'_, '_> {
    /// Whether the policies of this end allow the connection.
    pub fn allows(&self) -> bool {
        self.isolated_by.is_empty() || !self.allowed_by.is_empty()
    }
}

impl Explanation<'_, '_> {
    /// Whether both ends allow the connection.
    pub fn allowed(&self) -> bool {
        let allows =
            |side: &Option<DirectionVerdict<'_, '_>>| side.as_ref().is_none_or(DirectionVerdict::allows);
        allows(&self.egress) && allows(&self.ingress)
    }
}

/// `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`.
impl fmt::Display for Explanation<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProtocolPort { protocol, number } = self.port;
        write!(f, "{} => {} : {} {number}", self.from, self.to, protocol.as_str())
    }
}

impl<'w, 'a> Map<'w, 'a> {
    /// Finds a workload by `shop/web` or `shop/web[Deployment]`, or parses an address.
    ///
    /// # Errors
    /// No workload or more than one matches; the message lists the candidates.
    pub fn find(&self, text: &str) -> Result<QueryEnd<'a>, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let address = address.to_canonical();
            return Ok(QueryEnd {
                end: FlowEnd::Outside(Range { first: address, last: address }),
                pods: Vec::new(),
            });
        }
        let mut found: Vec<QueryEnd<'a>> = Vec::new();
        for (number, pod) in self.pods.iter().enumerate() {
            let shown = pod.end().to_string();
            if shown == text || shown.split('[').next() == Some(text) {
                match found.iter_mut().find(|candidate| candidate.end == pod.end()) {
                    Some(candidate) => candidate.pods.push(number),
                    None => found.push(QueryEnd { end: pod.end(), pods: vec![number] }),
                }
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                let mut known: Vec<String> = self.pods.iter().map(|pod| pod.end().to_string()).collect();
                known.dedup();
                let more = known.len().saturating_sub(20);
                known.truncate(20);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let known = known.join(", ") + &more;
                Err(format!(
                    "`{}` is neither a known workload nor an address; known workloads: {known}",
                    excerpt(text)
                ))
            }
            several => {
                let candidates: Vec<String> =
                    several.iter().map(|candidate| candidate.end.to_string()).collect();
                Err(format!("`{}` is ambiguous, it matches {}", excerpt(text), candidates.join(", ")))
            }
        }
    }

    /// Explains why a connection is allowed or denied. If the pods of a workload differ, prefers pods that can connect.
    pub fn why(&self, from: &QueryEnd<'a>, to: &QueryEnd<'a>, port: ProtocolPort) -> Explanation<'w, 'a> {
        let one = |end: FlowEnd<'a>, pod: Option<usize>| SingleEnd { end, pod };
        let each = |query: &QueryEnd<'a>| -> Vec<SingleEnd<'a>> {
            match query.pods.is_empty() {
                true => vec![one(query.end, None)],
                false => query.pods.iter().map(|pod| one(query.end, Some(*pod))).collect(),
            }
        };
        let mut answer = None;
        for caller in each(from) {
            for callee in each(to) {
                let why = self.why_between(caller, callee, port);
                if why.allowed() {
                    return why;
                }
                answer.get_or_insert(why);
            }
        }
        answer.unwrap_or_else(|| self.why_between(one(from.end, None), one(to.end, None), port))
    }

    fn why_between(&self, from: SingleEnd<'a>, to: SingleEnd<'a>, port: ProtocolPort) -> Explanation<'w, 'a> {
        let pod = |end: SingleEnd<'a>| end.pod.and_then(|number| self.pods.get(number));
        let matches = |rule: &CompiledRule<'w, 'a>, other: SingleEnd<'a>| match (other.end, other.pod) {
            (FlowEnd::Outside(address), _) => rule.rule.matches_addresses(&address),
            (_, Some(number)) => rule.peers.contains(number),
            (_, None) => false,
        };
        let named = pod(to).map(|callee| callee.workload.ports.as_slice()).unwrap_or_default();
        let side = |direction, own: &PodClass<'a>, other: SingleEnd<'a>| {
            let isolating = |policy: &&NetworkPolicy<'a>| {
                policy.namespace == own.workload.name.namespace
                    && policy.isolates(direction, &own.workload.labels)
            };
            let mut side = DirectionVerdict {
                direction,
                isolated_by: self.topology.policies().filter(isolating).collect(),
                allowed_by: Vec::new(),
                other_ports: Vec::new(),
            };
            let rules = own.allowed(direction).into_iter().flat_map(|allowed| &allowed.rules);
            for rule in rules.filter_map(|rule| self.rules.get(*rule)).filter(|rule| matches(rule, other)) {
                let cited =
                    RuleMatch { policy: rule.policy, rule: rule.number, ports: rule.rule.ports(named) };
                match cited.ports.contains(port.protocol, port.number) {
                    true => side.allowed_by.push(cited),
                    false => side.other_ports.push(cited),
                }
            }
            side
        };
        let uses_host_network = |end| pod(end).is_some_and(|pod| pod.workload.host_network);
        Explanation {
            from: from.end,
            to: to.end,
            port,
            egress: pod(from).map(|own| side(Direction::Egress, own, to)),
            ingress: pod(to).map(|own| side(Direction::Ingress, own, from)),
            unknown: uses_host_network(from) || uses_host_network(to),
        }
    }
}
