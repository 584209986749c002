//! A NetworkPolicy by itself: whether it can be read, is wide open, or says something that has no effect.

use policy_core::{Field, Operation, Request, Undecided, Verdict};
use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::network_policy::{Block, Direction, NetworkPolicy, Peer, Port, Rule};
use policy_kubernetes::selector::{Requirement, Selector};

use crate::NetworkPolicyRequired;
use crate::settings::{ControlId, of};

/// Reads the policy of a request, unless it goes, and says what is wrong with it.
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
                "must not be every address: the blocks of its rules add up to it",
            );
        }
    }
    Ok(Some(policy))
}

/// Says what is wrong with a rule by itself, and whether it is open to every address.
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
            format!("must name somebody in `{}`: it is open to everybody", way.peers()),
        );
        return Ok(true);
    }
    let mut by_itself = false;
    for (peer, field) in rule.peers.iter().zip(peers.items()?) {
        match peer {
            Peer::Block(block) if block.contains_every_address() => {
                by_itself = true;
                let message = "must not be every address: name fewer, or except some";
                verdict.deny_by(control, field.at("ipBlock"), message);
            }
            Peer::Pods { namespaces: Some(namespaces), pods }
                if matches_every_namespace(namespaces) && pods.matches_everything() =>
            {
                let message = "must not be every namespace: name some, or add a podSelector";
                verdict.deny_by(control, field.at("namespaceSelector"), message);
            }
            Peer::Block(_) | Peer::Pods { .. } => {}
        }
    }
    let together = !by_itself && Block::all_of(rule.blocks()).contains_every_address();
    if together {
        verdict.deny_by(control, peers, "must not be every address: the blocks add up to it");
    }
    Ok(by_itself || together)
}

/// Whether a selector takes every namespace there is: it asks for nothing, or for what each of them has.
fn matches_every_namespace(namespaces: &Selector<'_>) -> bool {
    namespaces
        .requirements
        .iter()
        .all(|requirement| *requirement == Requirement::Exists(NAMESPACE_NAME.into()))
}

impl NetworkPolicyRequired {
    /// Whether all ports of a rule may be open to everybody.
    fn may_be_open(&self, rule: &Rule<'_>) -> bool {
        let is_open = |port: &Port<'_>| match port {
            Port::Numbers(_, first, last) => (*first..=*last).all(|port| self.open_ports.contains(&port)),
            Port::Named(..) => false,
        };
        !rule.ports.is_empty() && rule.ports.iter().all(is_open)
    }
}
