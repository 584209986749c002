//! `pratique connectivity`: the map of a manifest set, why a flow is on it, and what differs between two maps.

mod diff;
mod explain;
mod forms;
mod intended;
mod page;
mod read;

use std::io::Write;

use policy_connectivity::{Map, drawn, svg};
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
    let map = Map::of(&known.topology);
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
        MapForm::Svg => write!(out, "{}", svg(&map, &drawn(&map, flows))).map_err(Into::into),
        MapForm::Html => page::write(&map, &drawn(&map, flows), &notes, out),
    }?;
    Ok(end)
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
        notes.extend(map.notes());
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
