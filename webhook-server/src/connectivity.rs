//! `pratique connectivity`: the map of a manifest set, why a flow is on it, and what differs between two maps.

mod diff;
mod explain;
mod forms;
mod intended;
mod page;
mod picture;
mod read;
mod svg;

use std::collections::BTreeSet;
use std::io::Write;

use policy_connectivity::{End as Edge, Flow, Map, Name, Opening, Range};
use policy_core::Arena;
use policy_core::path::printable;

use crate::args::{ConnectivityArgs, End, MapForm};
use read::{Known, Written};

/// Runs the command.
///
/// # Errors
/// It cannot start: bad arguments, a path that does not exist or cannot be read.
pub fn run(args: &ConnectivityArgs) -> anyhow::Result<End> {
    let mut out = std::io::BufWriter::new(anstream::AutoStream::auto(std::io::stdout()));
    let end = match &args.diff {
        Some(paths) => diff::run(args, paths, &mut out)?,
        None => show(args, &mut out)?,
    };
    out.flush()?;
    Ok(end)
}

fn show(args: &ConnectivityArgs, out: &mut impl Write) -> anyhow::Result<End> {
    let written = Written::under(&args.paths)?;
    let arena = Arena::new();
    let known = written.known(&args.namespace, &arena);
    if let Some(file) = &args.intended {
        return intended::run(file, known, out);
    }
    let end = known.complain();
    let map = Map::of(&known.world);
    let mut notes = known.notes(&map);
    say(&notes);
    // A page or an object stands without its standard error.
    notes.splice(
        ..0,
        known.errors.iter().map(|error| format!("could not be read, and is not on the map: {error}")),
    );
    if let Some(asked) = &args.explain {
        let answer = explain::run(&written, &known, &map, asked, out)?;
        return Ok(if end == End::Well { answer } else { end });
    }
    let flows = map.flows(args.within_workloads);
    match args.output {
        MapForm::Text => forms::text(&flows, out),
        MapForm::Csv => forms::csv(&flows, out),
        MapForm::Json => forms::json(&map, &flows, &notes, out),
        MapForm::Dot => forms::dot(&map, &drawn(&map, flows), out),
        MapForm::Mermaid => forms::mermaid(&map, &drawn(&map, flows), out),
        MapForm::Svg => {
            let picture = picture::Picture::of(&map, &drawn(&map, flows));
            write!(out, "{}", svg::draw(&picture)).map_err(Into::into)
        }
        MapForm::Html => page::write(&map, &drawn(&map, flows), &notes, out),
    }?;
    Ok(end)
}

/// What is drawn: the flows, what Services open to the outside, as flows from these, and the ports of Gateways.
fn drawn<'a>(map: &Map<'_, 'a>, mut flows: Vec<Flow<'a>>) -> Vec<Flow<'a>> {
    let mut openings: Vec<Flow<'a>> = Vec::new();
    for opening in map.openings() {
        let name = Name { namespace: opening.namespace, name: opening.service, kind: opening.kind };
        let (from, to) = (Edge::Workload(name), Edge::Workload(opening.to));
        match openings.iter_mut().find(|flow| (flow.from, flow.to) == (from, to)) {
            Some(flow) => flow.ports.unite(&opening.ports),
            None => openings.push(Flow { from, to, ports: opening.ports, unknown: false }),
        }
    }
    flows.extend(openings);
    // Anybody may come to a Gateway that is given, as far as anybody knows.
    let led: BTreeSet<Edge<'a>> = flows.iter().map(|flow| flow.from).collect();
    for (name, ports) in
        map.gateways().filter(|(name, ports)| !ports.is_empty() && led.contains(&Edge::Workload(*name)))
    {
        let (from, to) = (Edge::Outside(Range::V4), Edge::Workload(name));
        flows.push(Flow { from, to, ports: ports.clone(), unknown: false });
    }
    flows
}

/// Says notes on standard error.
fn say(notes: &[String]) {
    for note in notes {
        anstream::eprintln!("pratique: {}", printable(note));
    }
}

impl<'a> Known<'a> {
    /// What a map does not say in its flows.
    fn notes(&self, map: &Map<'_, 'a>) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.world.notes());
        for (name, standing) in map.workloads() {
            if standing.host_network {
                notes.push(format!(
                    "{name} is on the network of its node: what policies do to it is not known"
                ));
            }
        }
        notes.extend(map.blocked());
        notes.extend(map.openings().iter().map(Opening::to_string));
        notes
    }

    /// Says what could not be read.
    fn complain(&self) -> End {
        for error in &self.errors {
            anstream::eprintln!("{}", printable(error));
        }
        if self.errors.is_empty() { End::Well } else { End::Unreadable }
    }
}
