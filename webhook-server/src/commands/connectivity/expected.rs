//! Compares the connections of a manifest set with a reviewed list of expected connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};
use policy_connectivity::{AddressRanges, FlowEnd, Isolation, Map, Workload};
use policy_core::path::excerpt;
use policy_core::{Arena, Field, Undecided, yaml};
use policy_kubernetes::Labels;
use policy_kubernetes::WorkloadName;
use policy_kubernetes::network_policy::{Block, Direction, Range};
use policy_kubernetes::ports::port_number;
use policy_kubernetes::ports::{NamedPort, Ports, Protocol};

use super::load::LoadedTopology;
use super::say;
use crate::args::ExitStatus;
use crate::report::{GREEN, RED};
use crate::sources;

const KEYS: [&str; 3] = ["addresses", "pods", "flows"];

/// The content of a file of expected connections.
struct ExpectedConnections<'a> {
    /// Names of addresses, in the order of the file, each with the address blocks that it can refer to.
    addresses: Vec<(&'a str, Vec<Block>)>,
    /// Pods that the manifests refer to but do not create.
    pods: Vec<Workload<'a>>,
    /// The expected connections, as lines.
    flows: BTreeSet<&'a str>,
}

/// Prints which expected connections are missing, and which connections are unexpected.
pub(super) fn run(
    file: &Path,
    mut known: LoadedTopology<'_>,
    out: &mut impl Write,
) -> anyhow::Result<ExitStatus> {
    let named = || file.display().to_string();
    let text = sources::read_file(file).with_context(named)?;
    let arena = Arena::new();
    let expected = ExpectedConnections::read(&text, &arena).with_context(named)?;
    for pods in &expected.pods {
        if known.topology.has(pods.name) {
            bail!(
                "{}: pods: {} is defined in the manifests: remove it from this file",
                file.display(),
                pods.name
            );
        }
        if pods.name.kind == "Gateway" {
            known.topology.add_gateway_labels(pods.name, &pods.labels);
        }
        known.topology.add_pods(pods);
    }
    let end = known.print_errors();
    let blocks: Vec<Block> = expected.addresses.iter().flat_map(|(_, blocks)| blocks).cloned().collect();
    let map = Map::within(&known.topology, AddressRanges::of(&[&known.topology], &blocks));
    say(&known.notes(&map));
    let found = expected.lines(&map);
    let missing = expected.flows.iter().filter(|line| !found.contains(**line)).map(|line| (*line, "- ", RED));
    let extra = found.iter().filter(|line| !expected.flows.contains(line.as_str()));
    let extra = extra.map(|line| (line.as_str(), "+ ", GREEN));
    let mut lines: Vec<_> = missing.chain(extra).collect();
    lines.sort_unstable_by_key(|(line, sign, _)| (*line, *sign));
    for (line, sign, style) in &lines {
        writeln!(out, "{style}{sign}{line}{style:#}")?;
    }
    if !lines.is_empty() {
        print_error!(
            "pratique: connections differ from {} in {} (`-` expected but missing, `+` unexpected)",
            file.display(),
            if lines.len() == 1 { "1 line".to_owned() } else { format!("{} lines", lines.len()) }
        );
    }
    Ok(match (end, lines.is_empty()) {
        (ExitStatus::Success, false) => ExitStatus::Denied,
        (end, _) => end,
    })
}

impl<'a> ExpectedConnections<'a> {
    fn read(text: &'a str, arena: &'a Arena) -> anyhow::Result<Self> {
        let documents = yaml::documents(text);
        let [document] = documents.as_slice() else {
            bail!("must be one YAML document, is {}", documents.len());
        };
        let value = document.decode(arena).map_err(|error| anyhow::anyhow!("{}: {error}", error.position))?;
        let root = Field::root(value.context("the file is empty")?, arena);
        let places = document.places();
        ExpectedConnections::of(root)
            .map_err(|undecided| anyhow::anyhow!("{}: {undecided}", places.of(&undecided.field)))
    }

    fn of(root: Field<'a>) -> Result<Self, Undecided> {
        for (key, field) in root.members()? {
            if !KEYS.contains(&key) {
                return Err(field.undecided(format!("must not be set: use one of {}", KEYS.join(", "))));
            }
        }
        let mut addresses = Vec::new();
        for (name, blocks) in root.at("addresses").members()? {
            addresses.push((name, blocks.items()?.map(Block::read).collect::<Result<_, _>>()?));
        }
        let pods = root.at("pods").items()?.map(pods).collect::<Result<_, _>>()?;
        let mut flows = BTreeSet::new();
        for flow in root.at("flows").items()? {
            let line = flow.text()?;
            let ends = line.split_once(" : ").and_then(|(ends, _)| ends.split_once(" => "));
            let Some((from, to)) = ends else {
                return Err(flow.undecided(
                    "must have the form `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`",
                ));
            };
            for end in [from, to] {
                let name = end.strip_prefix('{').and_then(|end| end.strip_suffix('}'));
                let is_known = |name: &&str| {
                    addresses.iter().any(|(known, _)| known == name) || **name == *"ingress-controller"
                };
                if let Some(name) = name.filter(|name| !is_known(name)) {
                    return Err(
                        flow.undecided(format!("`{}` is not defined under `addresses`", excerpt(name)))
                    );
                }
            }
            if !flows.insert(line) {
                return Err(flow.undecided("must not be listed twice"));
            }
        }
        Ok(ExpectedConnections { addresses, pods, flows })
    }

    /// The connections of a map as lines, with names for addresses. A named line covers the ports that all addresses of the
    /// block have in common.
    fn lines(&self, map: &Map<'_, '_>) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut outside = Outside::new();
        let standings = map.workloads();
        for flow in map.flows(true) {
            // For pods outside the manifest set, only connections that the policies of the set decide are known.
            let isolated = |end, is_isolated: fn(&Isolation) -> bool| match end {
                FlowEnd::Workload(name) => standings.get(&name).is_some_and(is_isolated),
                FlowEnd::Outside(_) | FlowEnd::IngressController => false,
            };
            let decided = isolated(flow.from, |standing| standing.isolated_egress)
                || isolated(flow.to, |standing| standing.isolated_ingress);
            let is_ours = |end| match end {
                FlowEnd::Workload(name) => self.pods.iter().all(|pods| pods.name != name),
                FlowEnd::Outside(_) | FlowEnd::IngressController => true,
            };
            let known = decided || (is_ours(flow.from) && is_ours(flow.to));
            if !known {
                continue;
            }
            match (flow.from, flow.to) {
                (FlowEnd::Outside(range), to) => {
                    outside.entry((to.to_string(), true)).or_default().insert(range, flow.ports);
                }
                (from, FlowEnd::Outside(range)) => {
                    outside.entry((from.to_string(), false)).or_default().insert(range, flow.ports);
                }
                _ => drop(lines.insert(flow.to_string())),
            }
        }
        for (name, blocks) in &self.addresses {
            // Use the first block with a connection: the other blocks belong to other environments.
            let is_there = |block: &&Block| {
                outside
                    .iter()
                    .any(|((_, comes_in), ranges)| !common(map, *comes_in, block, ranges).is_empty())
            };
            let Some(block) = blocks.iter().find(is_there) else { continue };
            for ((own, comes_in), ranges) in &mut outside {
                let common = common(map, *comes_in, block, ranges);
                if common.is_empty() {
                    continue;
                }
                lines.insert(line(own, *comes_in, &format!("{{{name}}}"), &common));
                for (_, ports) in ranges.iter_mut().filter(|(range, _)| block.contains(range)) {
                    *ports = ports.without(&common);
                }
            }
        }
        for ((own, comes_in), ranges) in &outside {
            for (range, ports) in ranges.iter().filter(|(_, ports)| !ports.is_empty()) {
                lines.insert(line(own, *comes_in, &FlowEnd::Outside(*range).to_string(), ports));
            }
        }
        lines
    }
}

/// A connection with the outside, as a line.
fn line(own: &str, comes_in: bool, outside: &str, ports: &Ports) -> String {
    match comes_in {
        true => format!("{outside} => {own} : {ports}"),
        false => format!("{own} => {outside} : {ports}"),
    }
}

/// Connections with the outside: by workload and direction (`true` is inbound), the ports for each address range.
type Outside = BTreeMap<(String, bool), BTreeMap<Range, Ports>>;

/// The ports that all address ranges of a block have in common.
fn common(map: &Map<'_, '_>, comes_in: bool, block: &Block, ranges: &BTreeMap<Range, Ports>) -> Ports {
    let direction = if comes_in { Direction::Ingress } else { Direction::Egress };
    let mut parts = map.ranges(direction).iter().filter(|range| block.contains(range));
    let ports_of = |part: &Range| ranges.get(part).cloned().unwrap_or_default();
    let first = parts.next().map(ports_of).unwrap_or_default();
    parts.fold(first, |common, part| common.intersection(&ports_of(part)))
}

/// Reads pods that no manifest creates: `name: kube-system/kube-dns[Deployment]`, `labels`, `ports`.
fn pods(field: Field<'_>) -> Result<Workload<'_>, Undecided> {
    for (key, field) in field.members()? {
        if !["name", "labels", "ports"].contains(&key) {
            return Err(field.undecided("must not be set: use one of name, labels, ports"));
        }
    }
    let written = field.at("name").text()?;
    let name = written.strip_suffix(']').and_then(|rest| rest.split_once('['));
    let name = name.and_then(|(name, kind)| Some((name.split_once('/')?, kind)));
    let complete =
        |((namespace, name), kind): &((&str, &str), &str)| ![*namespace, *name, *kind].contains(&"");
    let Some(((namespace, name), kind)) = name.filter(complete) else {
        let is = format!("must have the form `shop/web[Deployment]`, is `{}`", excerpt(written));
        return Err(field.at("name").undecided(is));
    };
    let mut ports = Vec::new();
    for port in field.at("ports").items()? {
        let (name, protocol) = (port.at("name").text()?, Protocol::read(port.at("protocol"))?);
        ports.push(NamedPort { name, protocol, number: port_number(port.at("port"))? });
    }
    let labels = Labels::of(field.at("labels"))?;
    Ok(Workload { name: WorkloadName { namespace, name, kind }, labels, ports, host_network: false })
}
