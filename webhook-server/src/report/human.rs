//! The form of a report for people.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use policy_core::Outcome;
use policy_core::path::{excerpt, printable};

use super::{Report, SourcePosition, Summary};

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();

/// How an outcome is coloured on a terminal.
pub(crate) fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Allow => GREEN,
        Outcome::Warn | Outcome::Patch => YELLOW,
        Outcome::Deny => RED,
    }
}

impl Report {
    /// Prints what is not just admitted, and a summary.
    pub(super) fn human(&self) -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(anstream::stdout());
        for row in self.rows.iter().filter(|row| row.outcome != Outcome::Allow) {
            let color = style(row.outcome);
            let word = row.outcome.as_str();
            let of = if row.of.is_some() { "pods of " } else { "" };
            let SourcePosition { file, line, column, .. } = &row.source;
            // Findings have their own places.
            let place = match row.denials.is_empty() && row.warnings.is_empty() {
                true => format!(" {DIM}{}:{line}:{column}{DIM:#}", printable(file)),
                false => String::new(),
            };
            writeln!(out, "{color}{word}{color:#} {of}{} {DIM}({}){DIM:#}{place}", row.object, row.policy)?;
            for found in row.denials.iter().chain(&row.warnings) {
                let place = format!("{}:{}:{}", printable(&row.source.file), found.line, found.column);
                let control =
                    found.control.map(|control| format!(" {DIM}({control}){DIM:#}")).unwrap_or_default();
                let colon = if found.field.is_empty() { "" } else { ": " };
                writeln!(out, "  {place}: {}{colon}{}{control}", found.field, found.message)?;
            }
            if row.left_out > 0 {
                writeln!(out, "  and {} more", row.left_out)?;
            }
            for operation in &row.patch {
                // `render --diff` shows all of it.
                let value = operation.value.to_string();
                writeln!(out, "  {} {} {}", operation.op, printable(&operation.path), excerpt(&value))?;
            }
            if row.outcome == Outcome::Deny {
                writeln!(out, "  {DIM}to fix: {}{DIM:#}", row.remediation)?;
            }
        }
        let Summary { objects, denied, warned, patched } = self.summary();
        let color = if denied > 0 { RED } else { GREEN };
        let excepted: usize = self.rows.iter().map(|row| row.excepted.len()).sum();
        let excepted = match excepted {
            0 => String::new(),
            1 => ", 1 finding excepted".to_owned(),
            many => format!(", {many} findings excepted"),
        };
        let plural = if objects == 1 { "" } else { "s" };
        let judged = format!("{} judged", self.judged);
        writeln!(
            out,
            "{color}{objects} object{plural}, {judged}: {denied} denied, {warned} warned, {patched} patched{excepted}{color:#}"
        )?;
        out.flush()
    }
}
