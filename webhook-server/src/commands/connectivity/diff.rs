//! What a change does to the map: flows that are new, and flows that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use policy_connectivity::{AddressRanges, Flow, FlowEnd, Map};
use policy_core::Arena;
use policy_kubernetes::ports::Ports;
use serde_json::json;

use super::load::ManifestText;
use super::{drawn, formats, say};
use crate::args::{ConnectivityArgs, ExitStatus, MapFormat};
use crate::report::{GREEN, RED};

/// Compares two sets of manifests.
pub(super) fn run(
    args: &ConnectivityArgs,
    paths: &[PathBuf],
    out: &mut impl Write,
) -> anyhow::Result<ExitStatus> {
    let [old, new] = paths else { bail!("--diff: must be given OLD and NEW") };
    let (old, new) =
        (ManifestText::under(std::slice::from_ref(old))?, ManifestText::under(std::slice::from_ref(new))?);
    let arena = Arena::new();
    let (old, new) = (old.known(&args.namespace, &arena), new.known(&args.namespace, &arena));
    let ends = [old.complain(), new.complain()];
    let ranges = AddressRanges::of(&[&old.topology, &new.topology], &[]);
    let maps = [Map::within(&old.topology, ranges.clone()), Map::within(&new.topology, ranges)];
    let [before, after] = &maps;
    // Of both: what is not read of either may make a difference.
    let message: BTreeSet<String> = old.notes(before).into_iter().chain(new.notes(after)).collect();
    say(&message.into_iter().collect::<Vec<_>>());
    // A Service that is opened opens nothing that policies do not allow already, and makes a difference all the same.
    let old = drawn(before, before.flows(args.within_workloads));
    let new = drawn(after, after.flows(args.within_workloads));
    let (gone, added) = (without(&old, &new), without(&new, &old));
    match args.output {
        MapFormat::Text => {
            let mut lines: Vec<_> = gone.iter().map(|flow| (flow, '-')).collect();
            lines.extend(added.iter().map(|flow| (flow, '+')));
            lines.sort_by_key(|(flow, sign)| (flow.from.to_string(), flow.to.to_string(), *sign == '+'));
            for (flow, sign) in lines {
                let style = if sign == '-' { RED } else { GREEN };
                writeln!(out, "{style}{sign} {flow}{style:#}")?;
            }
        }
        MapFormat::Csv => {
            writeln!(out, "change,src,dst,conn")?;
            for (change, flows) in [("removed", &gone), ("added", &added)] {
                for Flow { from, to, ports, .. } in flows {
                    let (from, to, ports) = (formats::cell(from), formats::cell(to), formats::cell(ports));
                    writeln!(out, "{change},{from},{to},{ports}")?;
                }
            }
        }
        MapFormat::Json => {
            let (added, removed) = (formats::FlowList(&added), formats::FlowList(&gone));
            serde_json::to_writer_pretty(&mut *out, &json!({"added": added, "removed": removed}))?;
            writeln!(out)?;
        }
        MapFormat::Dot | MapFormat::Mermaid | MapFormat::Svg | MapFormat::Html => {
            bail!("--diff: must be with --output text, csv or json")
        }
    }
    Ok(if ends == [ExitStatus::Success; 2] { ExitStatus::Success } else { ExitStatus::Unreadable })
}

/// The flows that are in the one map and not in the other, on the ports that they are not in the other.
fn without<'a>(these: &[Flow<'a>], others: &[Flow<'a>]) -> Vec<Flow<'a>> {
    let known: BTreeMap<(FlowEnd<'a>, FlowEnd<'a>), &Ports> =
        others.iter().map(|flow| ((flow.from, flow.to), &flow.ports)).collect();
    let mut left = Vec::new();
    for flow in these {
        let ports = match known.get(&(flow.from, flow.to)) {
            Some(other) => flow.ports.without(other),
            None => flow.ports.clone(),
        };
        if !ports.is_empty() {
            left.push(Flow { ports, ..flow.clone() });
        }
    }
    left
}
