//! A rule of a NetworkPolicy: with whom connections are allowed, and on which ports.

use policy_core::path::excerpt;
use policy_core::{Field, Selector, Undecided, Value};

use crate::address::{Block, Range, only};
use crate::policy::Direction;
use crate::ports::{FIRST, LAST, Ports, Protocol};

/// One thing that is allowed: these peers, on these ports.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// With whom; none means everybody.
    pub peers: Vec<Peer<'a>>,
    /// On which ports; none means all.
    pub ports: Vec<Port<'a>>,
}

/// Some of those with whom a rule allows connections.
#[derive(Clone, Debug)]
pub enum Peer<'a> {
    /// Pods.
    Pods {
        /// Of which namespaces; `None` for the policy's own.
        namespaces: Option<Selector<'a>>,
        /// Which pods of these.
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
    /// What the destination's pod calls so. Outside of the cluster nothing is called anything.
    Named(Protocol, &'a str),
}

/// A port of a pod that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPort<'a> {
    /// `http`.
    pub name: &'a str,
    /// TCP, if the container does not say.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

impl<'a> Rule<'a> {
    pub(crate) fn read(rule: Field<'a>, direction: Direction) -> Result<Self, Undecided> {
        // It would be ignored, and the rule be open to everybody.
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

    /// Whether it is for everybody, or names every one of these addresses.
    pub fn takes(&self, addresses: &Range) -> bool {
        self.peers.is_empty() || self.blocks().any(|block| block.takes(addresses))
    }

    /// The blocks of addresses that it names.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> + Clone {
        self.peers.iter().filter_map(|peer| match peer {
            Peer::Block(block) => Some(block),
            Peer::Pods { .. } => None,
        })
    }

    /// The ports that it allows at a destination whose ports have these names.
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
            (true, true) => Err(block.undecided("must not be set beside a selector")),
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

/// Reads the number of a port.
///
/// # Errors
/// No port has it.
pub fn port_number(field: Field<'_>) -> Result<u16, Undecided> {
    let number = field.int()?.unwrap_or_default();
    let number = u16::try_from(number).ok().filter(|number| *number >= FIRST);
    number.ok_or_else(|| field.undecided("must be a port from 1 to 65535"))
}

/// Whether a port may be called that (apimachinery, `IsValidPortName`).
fn is_port_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=15).contains(&name.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.iter().any(u8::is_ascii_lowercase)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && !name.contains("--")
}
