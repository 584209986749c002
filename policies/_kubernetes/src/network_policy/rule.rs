//! Rules of a NetworkPolicy: the allowed peers and ports.

use policy_core::path::excerpt;
use policy_core::{Field, Undecided, Value};

use super::Direction;
use super::address::{Block, Range, only};
use super::decision::{Endpoint, NamespaceLabels};
use crate::namespace::NAMESPACE_NAME;
use crate::ports::{FIRST, LAST, NamedPort, Ports, Protocol, port_number};
use crate::selector::{Labels, Requirement, Selector};

/// A rule, which allows connections with its peers on its ports.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// The allowed peers; if empty, all peers.
    pub peers: Vec<Peer<'a>>,
    /// The allowed ports; if empty, all ports.
    pub ports: Vec<Port<'a>>,
}

/// A peer of a rule.
#[derive(Clone, Debug)]
pub enum Peer<'a> {
    /// Pods.
    Pods {
        /// The selector of namespaces; `None` for the namespace of the policy.
        namespaces: Option<Selector<'a>>,
        /// The selector of pods in these namespaces.
        pods: Selector<'a>,
    },
    /// Addresses outside of the cluster.
    Block(Block),
}

/// A port of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port<'a> {
    /// These numbers, both ends included.
    Numbers(Protocol, u16, u16),
    /// The ports with that name in the destination pod. Addresses outside of the cluster have no named ports.
    Named(Protocol, &'a str),
}

impl<'a> Rule<'a> {
    pub(crate) fn read(rule: Field<'a>, direction: Direction) -> Result<Self, Undecided> {
        // The field would be ignored, and the rule would allow all peers.
        let other = rule.at(direction.other().peers());
        if other.is_set()? {
            return Err(other.undecided(format!(
                "must be `{}` in a rule for {}",
                direction.peers(),
                direction.as_str()
            )));
        }
        only(rule, &[direction.peers(), "ports"])?;
        let peers = rule.at(direction.peers()).items()?.map(Peer::read).collect::<Result<_, _>>()?;
        let ports = rule.at("ports").items()?.map(Port::read).collect::<Result<_, _>>()?;
        Ok(Rule { peers, ports })
    }

    /// Whether the rule applies to all peers, or one of its blocks contains all of these addresses.
    pub fn matches_addresses(&self, addresses: &Range) -> bool {
        self.peers.is_empty() || self.blocks().any(|block| block.contains(addresses))
    }

    /// Whether the rule applies to that peer; `namespace` is the namespace of its policy.
    ///
    /// # Errors
    /// The labels of a namespace are needed but not known.
    pub fn matches(
        &self,
        namespace: &str,
        peer: &Endpoint<'_>,
        labels_of: NamespaceLabels<'_>,
    ) -> Result<bool, Undecided> {
        if self.peers.is_empty() {
            return Ok(true);
        }
        for own in &self.peers {
            if own.matches(namespace, peer, labels_of)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The address blocks of the rule.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> + Clone {
        self.peers.iter().filter_map(|peer| match peer {
            Peer::Block(block) => Some(block),
            Peer::Pods { .. } => None,
        })
    }

    /// The ports that the rule allows at a destination with these named ports.
    pub fn ports(&self, named: &[NamedPort<'_>]) -> Ports {
        if self.ports.is_empty() {
            return Ports::all();
        }
        Ports::of(self.ports.iter().flat_map(|port| {
            let (numbers, name) = match port {
                Port::Numbers(protocol, first, last) => (Some((*protocol, *first, *last)), None),
                Port::Named(protocol, name) => (None, Some((*protocol, *name))),
            };
            let meant = named.iter().filter(move |port| name == Some((port.protocol, port.name)));
            numbers.into_iter().chain(meant.map(|port| (port.protocol, port.number, port.number)))
        }))
    }
}

impl<'a> Peer<'a> {
    /// Whether it matches that endpoint. Tests check that the compiled peers of the network map match in the same way.
    ///
    /// `namespace` is the namespace of the policy. The labels of the peer's namespace are looked up only if the selector compares
    /// other labels than the name.
    ///
    /// # Errors
    /// The labels of a namespace are needed but not known.
    pub fn matches(
        &self,
        namespace: &str,
        peer: &Endpoint<'_>,
        labels_of: NamespaceLabels<'_>,
    ) -> Result<bool, Undecided> {
        match (self, peer) {
            (Peer::Block(block), Endpoint::Addresses(range)) => Ok(block.contains(range)),
            (Peer::Pods { namespaces, pods }, Endpoint::Pod(pod)) => Ok(pods.matches(pod.labels)
                && match namespaces {
                    None => pod.namespace == namespace,
                    Some(selector) => selects_namespace(selector, pod.namespace, labels_of)?,
                }),
            (Peer::Block(_), Endpoint::Pod(_)) | (Peer::Pods { .. }, Endpoint::Addresses(_)) => Ok(false),
        }
    }

    fn read(peer: Field<'a>) -> Result<Self, Undecided> {
        only(peer, &["podSelector", "namespaceSelector", "ipBlock"])?;
        let (pods, namespaces, block) =
            (peer.at("podSelector"), peer.at("namespaceSelector"), peer.at("ipBlock"));
        let selects = pods.is_set()? || namespaces.is_set()?;
        match (block.is_set()?, selects) {
            (true, false) => Ok(Peer::Block(Block::read(block)?)),
            (false, true) => {
                let namespaces = namespaces.is_set()?.then(|| Selector::read(namespaces)).transpose()?;
                Ok(Peer::Pods { namespaces, pods: Selector::read(pods)? })
            }
            (true, true) => Err(block.undecided("must not be set together with a selector")),
            (false, false) => {
                Err(peer.undecided("must have a podSelector, a namespaceSelector or an ipBlock"))
            }
        }
    }
}

impl<'a> Port<'a> {
    fn read(port: Field<'a>) -> Result<Self, Undecided> {
        only(port, &["port", "endPort", "protocol"])?;
        let protocol = Protocol::read(port.at("protocol"))?;
        let (number, end) = (port.at("port"), port.at("endPort"));
        match number.value()? {
            None if end.is_set()? => Err(end.undecided("must not be set without port")),
            None => Ok(Port::Numbers(protocol, FIRST, LAST)),
            Some(Value::String(_)) if end.is_set()? => {
                Err(end.undecided("must not be set with a named port"))
            }
            Some(Value::String(name)) if is_port_name(name) => Ok(Port::Named(protocol, name)),
            Some(Value::String(name)) => {
                let is = format!("must be a number or the name of a port, is `{}`", excerpt(name));
                Err(number.undecided(is))
            }
            Some(_) => {
                let first = port_number(number)?;
                let last = if end.is_set()? { port_number(end)? } else { first };
                match first <= last {
                    true => Ok(Port::Numbers(protocol, first, last)),
                    false => Err(end.undecided(format!("must be {first} or more, is {last}"))),
                }
            }
        }
    }
}

/// Whether a namespace selector matches the namespace with that name.
///
/// # Errors
/// The labels of the namespace are needed but not known.
pub fn selects_namespace(
    selector: &Selector<'_>,
    namespace: &str,
    labels_of: NamespaceLabels<'_>,
) -> Result<bool, Undecided> {
    let named: Labels<'_> = [(NAMESPACE_NAME, namespace)].into_iter().collect();
    let by_name = |requirement: &&Requirement<'_>| requirement.key() == NAMESPACE_NAME;
    let (by_name, others): (Vec<_>, Vec<_>) = selector.requirements.iter().partition(by_name);
    if !by_name.into_iter().all(|requirement| requirement.holds(&named)) {
        return Ok(false);
    }
    if others.is_empty() {
        return Ok(true);
    }
    let labels = labels_of(namespace)?;
    Ok(others.into_iter().all(|requirement| requirement.holds(&labels)))
}

/// Whether a port may have that name (apimachinery, `IsValidPortName`).
fn is_port_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=15).contains(&name.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.iter().any(u8::is_ascii_lowercase)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && !name.contains("--")
}
