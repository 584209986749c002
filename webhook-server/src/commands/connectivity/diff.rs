//! Compares the connections of two manifest sets: which ones are added, and which ones are removed.

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

/// Compares two manifest sets.
pub(super) fn run(
    args: &ConnectivityArgs,
    paths: &[PathBuf],
    out: &mut impl Write,
) -> anyhow::Result<ExitStatus> {
    let [old, new] = paths else { bail!("--diff: requires OLD and NEW") };
    let (old, new) =
        (ManifestText::under(std::slice::from_ref(old))?, ManifestText::under(std::slice::from_ref(new))?);
    let arena = Arena::new();
    let (old, new) = (old.known(&args.namespace, &arena), new.known(&args.namespace, &arena));
    let statuses = [old.print_errors(), new.print_errors()];
    let ranges = AddressRanges::of(&[&old.topology, &new.topology], &[]);
    let maps = [Map::within(&old.topology, ranges.clone()), Map::within(&new.topology, ranges)];
    let [before, after] = &maps;
    // Notes on both sets, because an object that is left out of either can change the result.
    let message: BTreeSet<String> = old.notes(before).into_iter().chain(new.notes(after)).collect();
    say(&message.into_iter().collect::<Vec<_>>());
    // `drawn` adds Services that are open to the outside: they count as a difference even if policies allowed the traffic before.
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
            bail!("--diff: requires --output text, csv or json")
        }
    }
    Ok(if statuses == [ExitStatus::Success; 2] { ExitStatus::Success } else { ExitStatus::Unreadable })
}

/// The connections of `these` that `others` does not have, limited to the ports that differ.
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
