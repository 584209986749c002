//! The flows that are meant to be, as a reviewed list, against those that there are.

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

/// What a file of intended flows says.
struct Intended<'a> {
    /// What addresses are called, in the order of the file: a name, and the blocks that it may stand for.
    addresses: Vec<(&'a str, Vec<Block>)>,
    /// Pods that the manifests speak of and do not make.
    pods: Vec<Workload<'a>>,
    /// The flows, as lines.
    flows: BTreeSet<&'a str>,
}

/// Says which flows are missing, and which there are beside those that are meant to be.
pub(super) fn run(
    file: &Path,
    mut known: LoadedTopology<'_>,
    out: &mut impl Write,
) -> anyhow::Result<ExitStatus> {
    let named = || file.display().to_string();
    let text = sources::read_file(file).with_context(named)?;
    let arena = Arena::new();
    let intended = Intended::read(&text, &arena).with_context(named)?;
    for pods in &intended.pods {
        if known.topology.has(pods.name) {
            bail!(
                "{}: pods: {} is among the manifests: it is what they say it is",
                file.display(),
                pods.name
            );
        }
        if pods.name.kind == "Gateway" {
            known.topology.add_gateway_labels(pods.name, &pods.labels);
        }
        known.topology.add_pods(pods);
    }
    let end = known.complain();
    let blocks: Vec<Block> = intended.addresses.iter().flat_map(|(_, blocks)| blocks).cloned().collect();
    let map = Map::within(&known.topology, AddressRanges::of(&[&known.topology], &blocks));
    say(&known.notes(&map));
    let found = intended.lines(&map);
    let missing = intended.flows.iter().filter(|line| !found.contains(**line)).map(|line| (*line, "- ", RED));
    let extra = found.iter().filter(|line| !intended.flows.contains(line.as_str()));
    let extra = extra.map(|line| (line.as_str(), "+ ", GREEN));
    let mut lines: Vec<_> = missing.chain(extra).collect();
    lines.sort_unstable_by_key(|(line, sign, _)| (*line, *sign));
    for (line, sign, style) in &lines {
        writeln!(out, "{style}{sign}{line}{style:#}")?;
    }
    if !lines.is_empty() {
        anstream::eprintln!(
            "pratique: the map is not what {} means it to be: {} to mend (`-` is meant and not there, `+` is there and not meant)",
            file.display(),
            lines.len()
        );
    }
    Ok(match (end, lines.is_empty()) {
        (ExitStatus::Success, false) => ExitStatus::Denied,
        (end, _) => end,
    })
}

impl<'a> Intended<'a> {
    fn read(text: &'a str, arena: &'a Arena) -> anyhow::Result<Self> {
        let documents = yaml::documents(text);
        let [document] = documents.as_slice() else {
            bail!("must be one YAML document, is {}", documents.len());
        };
        let value = document.decode(arena).map_err(|error| anyhow::anyhow!("{}: {error}", error.position))?;
        let root = Field::root(value.context("the file is empty")?, arena);
        let places = document.places();
        Intended::of(root)
            .map_err(|undecided| anyhow::anyhow!("{}: {undecided}", places.of(&undecided.field)))
    }

    fn of(root: Field<'a>) -> Result<Self, Undecided> {
        for (key, field) in root.members()? {
            if !KEYS.contains(&key) {
                return Err(field.undecided(format!("must not be set: there are {}", KEYS.join(", "))));
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
                return Err(
                    flow.undecided("must be as `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`")
                );
            };
            for end in [from, to] {
                let name = end.strip_prefix('{').and_then(|end| end.strip_suffix('}'));
                let is_known = |name: &&str| {
                    addresses.iter().any(|(known, _)| known == name) || **name == *"ingress-controller"
                };
                if let Some(name) = name.filter(|name| !is_known(name)) {
                    return Err(flow.undecided(format!("there are no addresses called `{}`", excerpt(name))));
                }
            }
            if !flows.insert(line) {
                return Err(flow.undecided("must not be there twice"));
            }
        }
        Ok(Intended { addresses, pods, flows })
    }

    /// The flows of a map as lines, those with addresses under the names of these: a name stands for a block on those ports
    /// that all of the block has.
    fn lines(&self, map: &Map<'_, '_>) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut outside = Outside::new();
        let standings = map.workloads();
        for flow in map.flows(true) {
            // Of pods that are not of the set, only what its policies decide is known.
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
            // The first of its blocks that any flow has: another environment's is not this one's.
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

/// A flow with the outside as a line.
fn line(own: &str, comes_in: bool, outside: &str, ports: &Ports) -> String {
    match comes_in {
        true => format!("{outside} => {own} : {ports}"),
        false => format!("{own} => {outside} : {ports}"),
    }
}

/// Flows with the outside: of whom, and whether they come in; with which ranges, on which ports.
type Outside = BTreeMap<(String, bool), BTreeMap<Range, Ports>>;

/// The ports that a flow has with all of a block.
fn common(map: &Map<'_, '_>, comes_in: bool, block: &Block, ranges: &BTreeMap<Range, Ports>) -> Ports {
    let direction = if comes_in { Direction::Ingress } else { Direction::Egress };
    let mut parts = map.ranges(direction).iter().filter(|range| block.contains(range));
    let ports_of = |part: &Range| ranges.get(part).cloned().unwrap_or_default();
    let first = parts.next().map(ports_of).unwrap_or_default();
    parts.fold(first, |common, part| common.intersection(&ports_of(part)))
}

/// Pods that no manifest makes: `name: kube-system/kube-dns[Deployment]`, `labels`, `ports`.
fn pods(field: Field<'_>) -> Result<Workload<'_>, Undecided> {
    for (key, field) in field.members()? {
        if !["name", "labels", "ports"].contains(&key) {
            return Err(field.undecided("must not be set: there are name, labels, ports"));
        }
    }
    let written = field.at("name").text()?;
    let name = written.strip_suffix(']').and_then(|rest| rest.split_once('['));
    let name = name.and_then(|(name, kind)| Some((name.split_once('/')?, kind)));
    let complete =
        |((namespace, name), kind): &((&str, &str), &str)| ![*namespace, *name, *kind].contains(&"");
    let Some(((namespace, name), kind)) = name.filter(complete) else {
        let is = format!("must be as `shop/web[Deployment]`, is `{}`", excerpt(written));
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
