//! Ports: protocols, port numbers, and sets of ports for each protocol.

use std::fmt;

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

/// A protocol of a port (core/v1 Protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// SCTP.
    Sctp,
    /// TCP, which is the default.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// All protocols, sorted by name.
    pub const ALL: [Protocol; 3] = [Protocol::Sctp, Protocol::Tcp, Protocol::Udp];

    /// The name in Kubernetes.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Sctp => "SCTP",
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }

    /// The protocol with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// Reads the field `protocol` of a port.
    ///
    /// # Errors
    /// The value is not a known protocol.
    pub fn read(field: Field<'_>) -> Result<Self, Undecided> {
        let Some(name) = field.str()? else { return Ok(Protocol::Tcp) };
        let unknown = || field.undecided(format!("must be TCP, UDP or SCTP, is `{}`", excerpt(name)));
        Protocol::parse(name).ok_or_else(unknown)
    }
}

/// The lowest port number.
pub const FIRST: u16 = 1;
/// The highest port number.
pub const LAST: u16 = u16::MAX;

/// Reads the number of a port.
///
/// # Errors
/// The number is not a valid port.
pub fn port_number(field: Field<'_>) -> Result<u16, Undecided> {
    let number = field.int()?.unwrap_or_default();
    let number = u16::try_from(number).ok().filter(|number| *number >= FIRST);
    number.ok_or_else(|| field.undecided("must be a port from 1 to 65535"))
}

/// A named port of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPort<'a> {
    /// `http`.
    pub name: &'a str,
    /// The protocol; TCP if the container does not set one.
    pub protocol: Protocol,
    /// The port number.
    pub number: u16,
}

/// A set of ports for each protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// The first and last port of each range, for each of [`Protocol::ALL`]. Ranges are sorted and neither touch nor overlap.
    ranges: [Vec<(u16, u16)>; 3],
}

impl Ports {
    /// Every port of every protocol.
    pub fn all() -> Self {
        Ports { ranges: [const { (FIRST, LAST) }; 3].map(|range| vec![range]) }
    }

    /// A range of ports of one protocol, including both ends.
    pub fn range(protocol: Protocol, first: u16, last: u16) -> Self {
        Ports::of([(protocol, first, last)])
    }

    /// Whether the set contains every port of every protocol.
    pub fn is_all(&self) -> bool {
        self.ranges.iter().all(|ranges| ranges.as_slice() == [(FIRST, LAST)])
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(Vec::is_empty)
    }

    /// The union of these ranges, in O(n log n).
    pub fn of(ranges: impl IntoIterator<Item = (Protocol, u16, u16)>) -> Self {
        let mut ports = Ports::default();
        for (protocol, first, last) in ranges {
            if let Some(ranges) = ports.ranges.get_mut(protocol as usize).filter(|_| first <= last) {
                ranges.push((first, last));
            }
        }
        ports.ranges.iter_mut().for_each(merge);
        ports
    }

    /// Adds a range of ports of one protocol, including both ends.
    pub fn add(&mut self, protocol: Protocol, first: u16, last: u16) {
        if let Some(ranges) = self.ranges.get_mut(protocol as usize).filter(|_| first <= last) {
            ranges.push((first, last));
            merge(ranges);
        }
    }

    /// Adds the ports of another set.
    pub fn unite(&mut self, other: &Ports) {
        for (ranges, more) in self.ranges.iter_mut().zip(&other.ranges) {
            if !more.is_empty() && ranges != more {
                ranges.extend(more);
                merge(ranges);
            }
        }
    }

    /// The ports that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Ports) -> Ports {
        let mut both = Ports::default();
        for ((ranges, ours), theirs) in both.ranges.iter_mut().zip(&self.ranges).zip(&other.ranges) {
            let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
            while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
                let (first, last) = (a.0.max(b.0), a.1.min(b.1));
                if first <= last {
                    ranges.push((first, last));
                }
                let behind = if a.1 < b.1 { &mut ours } else { &mut theirs };
                behind.next();
            }
        }
        both
    }

    /// The ports that are in this set but not in the other.
    #[must_use]
    pub fn without(&self, other: &Ports) -> Ports {
        let mut left = Ports::default();
        for ((ranges, ours), theirs) in left.ranges.iter_mut().zip(&self.ranges).zip(&other.ranges) {
            for (first, last) in ours {
                let mut from = u32::from(*first);
                for (f, l) in theirs.iter().filter(|(f, l)| f <= last && l >= first) {
                    if let Some(end) = u32::from(*f).checked_sub(1).filter(|end| *end >= from) {
                        ranges.push((from as u16, end as u16));
                    }
                    from = from.max(u32::from(*l) + 1);
                }
                if from <= u32::from(*last) {
                    ranges.push((from as u16, *last));
                }
            }
        }
        left
    }

    /// Whether the set contains that port.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        let ranges = self.ranges.get(protocol as usize);
        ranges.is_some_and(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&port)))
    }

    /// The ranges of the set: protocol, first port and last port.
    pub fn iter(&self) -> impl Iterator<Item = (Protocol, u16, u16)> {
        let by_protocol = Protocol::ALL.into_iter().zip(&self.ranges);
        by_protocol.flat_map(|(protocol, ranges)| ranges.iter().map(move |(f, l)| (protocol, *f, *l)))
    }
}

/// Sorts ranges and joins those that touch or overlap.
fn merge(ranges: &mut Vec<(u16, u16)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = u32::from(next.0) <= u32::from(kept.1) + 1;
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
}

/// `TCP 80,8080-8090,UDP 53`; `All Connections`; `No Connections`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("All Connections");
        }
        if self.is_empty() {
            return f.write_str("No Connections");
        }
        let mut before = None;
        for (protocol, first, last) in self.iter() {
            match before {
                _ if before == Some(protocol) => f.write_str(",")?,
                None => write!(f, "{} ", protocol.as_str())?,
                Some(_) => write!(f, ",{} ", protocol.as_str())?,
            }
            before = Some(protocol);
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_cut_and_shown() {
        let mut ports = Ports::range(Protocol::Tcp, 80, 80);
        ports.add(Protocol::Tcp, 82, 90);
        ports.add(Protocol::Udp, 53, 53);
        assert_eq!(ports.to_string(), "TCP 80,82-90,UDP 53");
        ports.add(Protocol::Tcp, 81, 81);
        assert_eq!(ports.to_string(), "TCP 80-90,UDP 53");
        assert!(ports.contains(Protocol::Tcp, 85) && !ports.contains(Protocol::Udp, 85));
        let other = Ports::range(Protocol::Tcp, 85, LAST);
        assert_eq!(ports.intersection(&other).to_string(), "TCP 85-90");
        assert_eq!(ports.without(&other).to_string(), "TCP 80-84,UDP 53");
        assert_eq!(
            Ports::all().without(&Ports::range(Protocol::Tcp, 22, 22)).to_string(),
            "SCTP 1-65535,TCP 1-21,23-65535,UDP 1-65535"
        );
        assert!(Ports::all().without(&Ports::all()).is_empty());
        let mut all = Ports::range(Protocol::Sctp, FIRST, LAST);
        all.add(Protocol::Tcp, FIRST, 99);
        all.add(Protocol::Tcp, 100, LAST);
        assert!(!all.is_all());
        all.add(Protocol::Udp, FIRST, LAST);
        assert!(all.is_all());
        assert_eq!(all.to_string(), "All Connections");
        assert_eq!(Ports::default().to_string(), "No Connections");
    }
}
