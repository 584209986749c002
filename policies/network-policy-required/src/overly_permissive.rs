//! Checks a single NetworkPolicy: whether it is valid, is overly permissive, or has rules without effect.

use policy_core::{Field, Operation, Request, Undecided, Verdict};
use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::network_policy::{Block, Direction, NetworkPolicy, Peer, Port, Rule};
use policy_kubernetes::selector::{Requirement, Selector};

use crate::NetworkPolicyRequired;
use crate::settings::{ControlId, of};

/// Reads and checks the policy of a request. Returns `None` for DELETE.
pub(crate) fn evaluate<'a>(
    settings: &NetworkPolicyRequired,
    request: &Request<'a>,
    verdict: &mut Verdict,
) -> Result<Option<NetworkPolicy<'a>>, Undecided> {
    if request.operation == Operation::Delete {
        return Ok(None);
    }
    let spec = request.object.at("spec");
    let policy = NetworkPolicy::read(request.object, request.namespace)?;
    for way in Direction::BOTH {
        let (side, rules) = (policy.side(way), spec.at(way.as_str()));
        if !side.isolates && !side.rules.is_empty() {
            let message = format!("has no effect: policyTypes does not list {}", way.policy_type());
            verdict.warn(rules, message);
        }
        let control = of(way, ControlId::NarrowIngress, ControlId::NarrowEgress);
        if !side.isolates || !settings.wants(control) {
            continue;
        }
        let mut open = false;
        for (rule, field) in side.rules.iter().zip(rules.items()?) {
            if !settings.may_be_open(rule) {
                open |= evaluate_rule(rule, field, way, control.as_str(), verdict)?;
            }
        }
        let evaluated = side.rules.iter().filter(|rule| !settings.may_be_open(rule));
        if !open && Block::all_of(evaluated.flat_map(Rule::blocks)).contains_every_address() {
            verdict.deny_by(
                control.as_str(),
                rules,
                "must not allow every address: the blocks of its rules together do",
            );
        }
    }
    Ok(Some(policy))
}

/// Checks a single rule. Returns whether it allows every address.
fn evaluate_rule(
    rule: &Rule<'_>,
    field: Field<'_>,
    way: Direction,
    control: &'static str,
    verdict: &mut Verdict,
) -> Result<bool, Undecided> {
    let peers = field.at(way.peers());
    if rule.peers.is_empty() {
        verdict.deny_by(
            control,
            field,
            format!("must list peers in `{}`: without any, the rule allows every peer", way.peers()),
        );
        return Ok(true);
    }
    let mut by_itself = false;
    for (peer, field) in rule.peers.iter().zip(peers.items()?) {
        match peer {
            Peer::Block(block) if block.contains_every_address() => {
                by_itself = true;
                let message = "must not allow every address: use a smaller CIDR, or add `except`";
                verdict.deny_by(control, field.at("ipBlock"), message);
            }
            Peer::Pods { namespaces: Some(namespaces), pods }
                if matches_every_namespace(namespaces) && pods.matches_everything() =>
            {
                let message = "must not match every namespace: match fewer, or add a podSelector";
                verdict.deny_by(control, field.at("namespaceSelector"), message);
            }
            Peer::Block(_) | Peer::Pods { .. } => {}
        }
    }
    let together = !by_itself && Block::all_of(rule.blocks()).contains_every_address();
    if together {
        verdict.deny_by(control, peers, "must not allow every address: the blocks together do");
    }
    Ok(by_itself || together)
}

/// Whether a selector matches every namespace: it is empty, or requires only the name label that each namespace has.
fn matches_every_namespace(namespaces: &Selector<'_>) -> bool {
    namespaces
        .requirements
        .iter()
        .all(|requirement| *requirement == Requirement::Exists(NAMESPACE_NAME.into()))
}

impl NetworkPolicyRequired {
    /// Whether the settings allow all ports of a rule to be open to every peer.
    fn may_be_open(&self, rule: &Rule<'_>) -> bool {
        let is_open = |port: &Port<'_>| match port {
            Port::Numbers(_, first, last) => (*first..=*last).all(|port| self.open_ports.contains(&port)),
            Port::Named(..) => false,
        };
        !rule.ports.is_empty() && rule.ports.iter().all(is_open)
    }
}
