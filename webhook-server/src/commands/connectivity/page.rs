//! The map as a standalone HTML page: the diagram, notes, and a searchable table of connections.

use std::io::Write;

use policy_connectivity::{Flow, Map, svg};
use policy_diagram::escaped;

const PAGE: &str = include_str!("page.html");

/// Writes the page.
pub(super) fn write(
    map: &Map<'_, '_>,
    flows: &[Flow<'_>],
    notes: &[String],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for part in PAGE.split_inclusive("-->") {
        let (text, place) = match part.rsplit_once("<!--") {
            Some((text, place)) => (text, place.trim_end_matches("-->")),
            None => (part, ""),
        };
        out.write_all(text.as_bytes())?;
        match place {
            "picture" => out.write_all(svg(map, flows).as_bytes())?,
            "notes" if !notes.is_empty() => {
                writeln!(out, "<section>")?;
                for note in notes {
                    writeln!(out, "<p>{}</p>", escaped(note))?;
                }
                writeln!(out, "</section>")?;
            }
            "rows" => {
                for Flow { from, to, ports, .. } in flows {
                    let cell = |text: String| format!("<td>{}</td>", escaped(&text));
                    let (from, to, ports) =
                        (cell(from.to_string()), cell(to.to_string()), cell(ports.to_string()));
                    writeln!(out, "<tr>{from}{to}{ports}</tr>")?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
