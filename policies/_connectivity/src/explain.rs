//! Explanation a connection is possible, or not: what isolates each end, and which rules let it through.

use std::fmt;
use std::net::IpAddr;

use policy_core::path::excerpt;

use crate::compile::{CompiledRule, PodClass};
use crate::flow::FlowEnd;
use crate::map::Map;
use policy_kubernetes::network_policy::Range;
use policy_kubernetes::network_policy::{Direction, NetworkPolicy};
use policy_kubernetes::ports::{Ports, Protocol};

/// Somebody on the map whom a question is about.
#[derive(Clone, Debug)]
pub struct QueryEnd<'a> {
    /// Who it is.
    pub end: FlowEnd<'a>,
    /// The numbers of its pods, those that differ in labels or ports each; none for an address.
    pods: Vec<usize>,
}

/// The answer.
pub struct Explanation<'w, 'a> {
    /// Who calls.
    pub from: FlowEnd<'a>,
    /// Who is called.
    pub to: FlowEnd<'a>,
    /// On which port.
    pub port: ProtocolPort,
    /// What the caller's policies say; `None` where it is outside.
    pub egress: Option<DirectionVerdict<'w, 'a>>,
    /// What the policies of whom is called say; `None` where it is outside.
    pub ingress: Option<DirectionVerdict<'w, 'a>>,
    /// Whether an end is on the network of its node, so that it may be otherwise.
    pub unknown: bool,
}

/// A port that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// One pod of an end, or an address.
#[derive(Clone, Copy)]
struct SingleEnd<'a> {
    end: FlowEnd<'a>,
    /// The number of the pod; `None` for an address.
    pod: Option<usize>,
}

/// What the policies of one end say.
pub struct DirectionVerdict<'w, 'a> {
    /// Which way it goes, seen from that end.
    pub direction: Direction,
    /// The policies that isolate it; none: everything is allowed.
    pub isolated_by: Vec<&'w NetworkPolicy<'a>>,
    /// The rules that let it through.
    pub allowed_by: Vec<RuleMatch<'w, 'a>>,
    /// The rules that would let it through on other ports.
    pub other_ports: Vec<RuleMatch<'w, 'a>>,
}

/// A rule of a policy.
pub struct RuleMatch<'w, 'a> {
    /// The policy.
    pub policy: &'w NetworkPolicy<'a>,
    /// The rule's number among those of its direction.
    pub rule: usize,
    /// The ports that it allows there.
    pub ports: Ports,
}

impl DirectionVerdict<'_, '_> {
    /// Whether it lets the connection through.
    pub fn allows(&self) -> bool {
        self.isolated_by.is_empty() || !self.allowed_by.is_empty()
    }
}

impl Explanation<'_, '_> {
    /// Whether the connection is possible.
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
    /// Finds who is meant by `shop/web`, `shop/web[Deployment]` or an address.
    ///
    /// # Errors
    /// Nobody, or more than one; the message says who there is.
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
                match found.iter_mut().find(|ends| ends.end == pod.end()) {
                    Some(ends) => ends.pods.push(number),
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
                let there_is = known.join(", ") + &more;
                Err(format!("`{}` is no workload and no address; there are: {there_is}", excerpt(text)))
            }
            several => {
                let ends: Vec<String> = several.iter().map(|ends| ends.end.to_string()).collect();
                Err(format!("`{}` is more than one: {}", excerpt(text), ends.join(", ")))
            }
        }
    }

    /// Why the one can call the other on that port, or cannot. Of pods that differ within a workload, those that can.
    pub fn why(&self, from: &QueryEnd<'a>, to: &QueryEnd<'a>, port: ProtocolPort) -> Explanation<'w, 'a> {
        let one = |end: FlowEnd<'a>, pod: Option<usize>| SingleEnd { end, pod };
        let each = |ends: &QueryEnd<'a>| -> Vec<SingleEnd<'a>> {
            match ends.pods.is_empty() {
                true => vec![one(ends.end, None)],
                false => ends.pods.iter().map(|pod| one(ends.end, Some(*pod))).collect(),
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
        let pod = |ends: SingleEnd<'a>| ends.pod.and_then(|number| self.pods.get(number));
        let names = |rule: &CompiledRule<'w, 'a>, ends: SingleEnd<'a>| match (ends.end, ends.pod) {
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
            for rule in rules.filter_map(|rule| self.rules.get(*rule)).filter(|rule| names(rule, other)) {
                let cited =
                    RuleMatch { policy: rule.policy, rule: rule.number, ports: rule.rule.ports(named) };
                match cited.ports.contains(port.protocol, port.number) {
                    true => side.allowed_by.push(cited),
                    false => side.other_ports.push(cited),
                }
            }
            side
        };
        let hosted = |ends| pod(ends).is_some_and(|pod| pod.workload.host_network);
        Explanation {
            from: from.end,
            to: to.end,
            port,
            egress: pod(from).map(|own| side(Direction::Egress, own, to)),
            ingress: pod(to).map(|own| side(Direction::Ingress, own, from)),
            unknown: hosted(from) || hosted(to),
        }
    }
}
