//! Addresses outside of the cluster: the ranges of an `ipBlock`, and the ranges into which several blocks divide all addresses.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use policy_core::path::excerpt;
use policy_core::{Field, Undecided};

/// A range of addresses of one family, including both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
}

impl Range {
    /// Every IPv4 address.
    pub const V4: Range =
        Range { first: IpAddr::V4(Ipv4Addr::UNSPECIFIED), last: IpAddr::V4(Ipv4Addr::BROADCAST) };
    /// Every IPv6 address.
    pub const V6: Range =
        Range { first: IpAddr::V6(Ipv6Addr::UNSPECIFIED), last: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };

    fn of(net: IpNet) -> Self {
        Range { first: net.network(), last: net.broadcast() }
    }

    /// Whether this range contains all of another range.
    pub fn contains(&self, other: &Range) -> bool {
        self.first <= other.first && other.last <= self.last && self.first.is_ipv4() == other.first.is_ipv4()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The addresses of one `ipBlock`, or of several: ranges that do not overlap, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(Vec<Range>);

impl Block {
    /// Reads an `ipBlock`.
    ///
    /// # Errors
    /// The API server would reject it (`ValidateIPBlock`): the CIDR is not valid, or an exception is not a part of it.
    pub fn read(block: Field<'_>) -> Result<Self, Undecided> {
        only(block, &["cidr", "except"])?;
        let whole = net(block.at("cidr"))?;
        let mut excepted = Vec::new();
        for except in block.at("except").items()? {
            let part = net(except)?;
            if !whole.contains(&part) || whole.prefix_len() == part.prefix_len() {
                return Err(except.undecided(format!("must be a part of `{whole}`, is `{part}`")));
            }
            excepted.push(Range::of(part));
        }
        excepted.sort_unstable();
        let whole = Range::of(whole);
        let mut left = Vec::new();
        let mut from = Some(whole.first);
        for part in excepted {
            let Some(first) = from else { break };
            if let Some(last) = before(part.first).filter(|last| first <= *last && part.first > first) {
                left.push(Range { first, last });
            }
            from = if part.last < first { from } else { after(part.last) };
        }
        if let Some(first) = from.filter(|first| *first <= whole.last) {
            left.push(Range { first, last: whole.last });
        }
        Ok(Block(left))
    }

    /// Its ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// All IPv4 and IPv6 addresses.
    pub fn everything() -> Self {
        Block(vec![Range::V4, Range::V6])
    }

    /// The block of one CIDR.
    ///
    /// # Errors
    /// The value is not a CIDR.
    pub fn of_cidr(cidr: Field<'_>) -> Result<Self, Undecided> {
        Ok(Block(vec![Range::of(net(cidr)?)]))
    }

    /// The parts of a range that the block contains.
    pub fn within(&self, range: &Range) -> impl Iterator<Item = Range> {
        let parts = self.0.iter().filter(|own| own.first.is_ipv4() == range.first.is_ipv4());
        let parts =
            parts.map(|own| Range { first: own.first.max(range.first), last: own.last.min(range.last) });
        parts.filter(|part| part.first <= part.last)
    }

    /// The union of these blocks.
    pub fn all_of<'b>(blocks: impl Iterator<Item = &'b Block>) -> Self {
        let mut all: Vec<Range> = Vec::new();
        for block in blocks {
            all.extend(&block.0);
        }
        all.sort_unstable();
        all.dedup_by(|next, kept| {
            let touches = next.first.is_ipv4() == kept.first.is_ipv4()
                && after(kept.last).is_none_or(|free| next.first <= free);
            if touches {
                kept.last = kept.last.max(next.last);
            }
            touches
        });
        Block(all)
    }

    /// Whether the block contains every address of a range.
    pub fn contains(&self, range: &Range) -> bool {
        let behind = self.0.partition_point(|own| own.first <= range.first);
        let own = behind.checked_sub(1).and_then(|place| self.0.get(place));
        own.is_some_and(|own| own.contains(range))
    }

    /// Whether the block contains every IPv4 address or every IPv6 address.
    pub fn contains_every_address(&self) -> bool {
        self.contains(&Range::V4) || self.contains(&Range::V6)
    }
}

fn net(field: Field<'_>) -> Result<IpNet, Undecided> {
    let text = field.text()?;
    let no_net = |_| field.undecided(format!("must be a CIDR such as 10.0.0.0/8, is `{}`", excerpt(text)));
    // The API server used to accept leading zeros in octets (`ParseCIDRSloppy`), so stored objects may contain them.
    let parsed = text.parse::<IpNet>().or_else(|_| without_leading_zeros(text).parse());
    parsed.map(|net| unmapped(net).trunc()).map_err(no_net)
}

/// `::ffff:10.0.0.0/104` is 10.0.0.0/8 (RFC 4291, section 2.5.5.2).
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(mapped) = net else { return net };
    let (address, length) = (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96));
    let unmapped = address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    unmapped.map_or(net, IpNet::V4)
}

fn without_leading_zeros(text: &str) -> String {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let significant = |octet: &str| match octet.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let octets: Vec<String> = address.split('.').map(significant).collect();
    format!("{}/{length}", octets.join("."))
}

/// Rejects unknown fields, because a rule with a misspelled field would match all peers.
pub(crate) fn only(object: Field<'_>, known: &[&str]) -> Result<(), Undecided> {
    match object.members()?.find(|(key, _)| !known.contains(key)) {
        Some((_, field)) => Err(field.undecided(format!("must not be set: use one of {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// The previous address of the same family; `None` for the first.
fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_sub(1)?))),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_sub(1)?))),
    }
}

/// The next address of the same family; `None` for the last.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?))),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?))),
    }
}

/// The ranges into which these blocks divide all addresses. Each block contains all of a range or nothing of it. IPv6 is included
/// only if a block contains IPv6 addresses, because otherwise the network map would list everything twice.
pub fn ranges<'b>(blocks: impl Iterator<Item = &'b Block>) -> Vec<Range> {
    let mut starts = BTreeSet::new();
    starts.insert(Range::V4.first);
    for range in blocks.flat_map(|block| &block.0) {
        starts.insert(range.first);
        starts.extend(after(range.last));
    }
    if starts.last().is_some_and(IpAddr::is_ipv6) {
        starts.insert(Range::V6.first);
    }
    let mut ranges: Vec<Range> = Vec::new();
    for first in starts {
        if let Some(range) = ranges.last_mut().filter(|range| range.first.is_ipv4() == first.is_ipv4()) {
            range.last = before(first).unwrap_or(range.last);
        }
        ranges.push(Range { first, last: if first.is_ipv4() { Range::V4.last } else { Range::V6.last } });
    }
    ranges
}

#[cfg(test)]
mod tests {
    use policy_core::{Arena, Value};

    use super::*;

    fn block(text: &str) -> Result<Block, String> {
        let arena = Arena::new();
        let value = Value::from_json(text.as_bytes(), &arena).unwrap();
        Block::read(Field::root(value, &arena)).map_err(|undecided| undecided.to_string())
    }

    fn cut(blocks: &[&str]) -> Vec<String> {
        let blocks: Vec<Block> = blocks.iter().map(|text| block(text).unwrap()).collect();
        ranges(blocks.iter()).iter().map(Range::to_string).collect()
    }

    #[test]
    fn exceptions_cut_a_block() {
        let taken = block(
            r#"{"cidr":"10.0.0.0/8","except":["10.255.0.0/16","10.0.0.0/16","10.1.0.0/16","10.1.2.0/24"]}"#,
        );
        let shown: Vec<String> = taken.unwrap().0.iter().map(Range::to_string).collect();
        assert_eq!(shown, ["10.2.0.0-10.254.255.255"]);
        let nothing = block(r#"{"cidr":"0.0.0.0/0","except":["0.0.0.0/1","128.0.0.0/1"]}"#).unwrap();
        assert!(nothing.0.is_empty());
        assert!(block(r#"{"cidr":"10.1.2.3/8"}"#).is_ok(), "host bits are masked");
        assert_eq!(block(r#"{"cidr":"::ffff:10.0.0.0/104"}"#), block(r#"{"cidr":"10.0.0.0/8"}"#));
        assert_eq!(block(r#"{"cidr":"010.000.0.0/8"}"#), block(r#"{"cidr":"10.0.0.0/8"}"#));
    }

    #[test]
    fn invalid_ip_blocks_are_undecided() {
        for (text, message) in [
            (r#"{"cidr":"10.0.0.0"}"#, "cidr: must be a CIDR such as 10.0.0.0/8, is `10.0.0.0`"),
            (r#"{}"#, "cidr: must be a CIDR such as 10.0.0.0/8, is ``"),
            (
                r#"{"cidr":"10.0.0.0/8","except":["11.0.0.0/16"]}"#,
                "except[0]: must be a part of `10.0.0.0/8`, is `11.0.0.0/16`",
            ),
            (
                r#"{"cidr":"10.0.0.0/8","except":["10.0.0.0/8"]}"#,
                "except[0]: must be a part of `10.0.0.0/8`, is `10.0.0.0/8`",
            ),
            (
                r#"{"cidr":"::/0","except":["10.0.0.0/8"]}"#,
                "except[0]: must be a part of `::/0`, is `10.0.0.0/8`",
            ),
        ] {
            assert_eq!(block(text).unwrap_err(), message);
        }
    }

    #[test]
    fn blocks_divide_all_addresses() {
        assert_eq!(cut(&[]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(cut(&[r#"{"cidr":"0.0.0.0/0"}"#]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(
            cut(&[r#"{"cidr":"10.0.0.0/8"}"#, r#"{"cidr":"255.0.0.0/8"}"#]),
            [
                "0.0.0.0-9.255.255.255",
                "10.0.0.0-10.255.255.255",
                "11.0.0.0-254.255.255.255",
                "255.0.0.0-255.255.255.255"
            ]
        );
        assert_eq!(cut(&[r#"{"cidr":"fd00::/8"}"#]).len(), 4);
    }

    #[test]
    fn two_halves_are_everything() {
        let together = |texts: &[&str]| {
            let blocks: Vec<Block> = texts.iter().map(|text| block(text).unwrap()).collect();
            Block::all_of(blocks.iter())
        };
        assert!(together(&[r#"{"cidr":"128.0.0.0/1"}"#, r#"{"cidr":"0.0.0.0/1"}"#]).contains_every_address());
        assert!(together(&[r#"{"cidr":"::/0"}"#]).contains_every_address());
        let but_a_part = r#"{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}"#;
        assert!(!together(&[but_a_part]).contains_every_address());
        assert!(
            together(&[but_a_part, r#"{"cidr":"10.0.0.0/7"}"#, r#"{"cidr":"::1/128"}"#])
                .contains_every_address()
        );
        assert!(!together(&[]).contains_every_address());
        let both = together(&[r#"{"cidr":"255.0.0.0/8"}"#, r#"{"cidr":"::/8"}"#]);
        assert_eq!(both.0.len(), 2, "families do not touch");
        let own =
            |first: &str, last: &str| Range { first: first.parse().unwrap(), last: last.parse().unwrap() };
        assert!(
            both.contains(&own("255.0.0.0", "255.255.255.255"))
                && !both.contains(&own("254.0.0.0", "255.0.0.0"))
        );
    }
}
