//! `pratique connectivity`: shows the connections of a manifest set, explains one of them, or compares two manifest sets.

mod diff;
mod expected;
mod explain;
mod formats;
mod load;
mod page;

use std::io::Write;

use policy_connectivity::{Map, drawn, svg};
use policy_core::Arena;
use policy_core::path::printable;

use crate::args::{ConnectivityArgs, ExitStatus, MapFormat};
use load::{LoadedTopology, ManifestText};

/// Runs the command.
///
/// # Errors
/// The arguments are invalid, or a path does not exist or cannot be read.
pub fn run(args: &ConnectivityArgs) -> anyhow::Result<ExitStatus> {
    let mut out = std::io::BufWriter::new(anstream::AutoStream::auto(std::io::stdout()));
    let end = match &args.diff {
        Some(paths) => diff::run(args, paths, &mut out)?,
        None => show(args, &mut out)?,
    };
    out.flush()?;
    Ok(end)
}

fn show(args: &ConnectivityArgs, out: &mut impl Write) -> anyhow::Result<ExitStatus> {
    let written = ManifestText::under(&args.paths)?;
    let arena = Arena::new();
    let known = written.known(&args.namespace, &arena);
    if let Some(file) = &args.expected {
        return expected::run(file, known, out);
    }
    let end = known.print_errors();
    let map = Map::of(&known.topology);
    let mut notes = known.notes(&map);
    say(&notes);
    // The HTML page and the JSON object are often kept without standard error, so they contain the read errors too.
    notes.splice(
        ..0,
        known.errors.iter().map(|error| format!("could not be read and is missing from the map: {error}")),
    );
    if let Some(query) = &args.explain {
        let answer = explain::run(&written, &known, &map, query, out)?;
        return Ok(if end == ExitStatus::Success { answer } else { end });
    }
    let flows = map.flows(args.within_workloads);
    match args.output {
        MapFormat::Text => formats::text(&flows, out),
        MapFormat::Csv => formats::csv(&flows, out),
        MapFormat::Json => formats::json(&map, &flows, &notes, out),
        MapFormat::Dot => formats::dot(&map, &drawn(&map, flows), out),
        MapFormat::Mermaid => formats::mermaid(&map, &drawn(&map, flows), out),
        MapFormat::Svg => write!(out, "{}", svg(&map, &drawn(&map, flows))).map_err(Into::into),
        MapFormat::Html => page::write(&map, &drawn(&map, flows), &notes, out),
    }?;
    Ok(end)
}

/// Prints notes to standard error.
fn say(notes: &[String]) {
    for note in notes {
        print_error!("pratique: {}", printable(note));
    }
}

impl<'a> LoadedTopology<'a> {
    /// Notes on the manifests and on the limits of the map.
    fn notes(&self, map: &Map<'_, 'a>) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(map.notes());
        notes
    }

    /// Prints the read errors, and returns the exit status that they cause.
    fn print_errors(&self) -> ExitStatus {
        for error in &self.errors {
            print_error!("{}", printable(error));
        }
        if self.errors.is_empty() { ExitStatus::Success } else { ExitStatus::Unreadable }
    }
}
