//! The report format for people.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use policy_core::Outcome;
use policy_core::path::{excerpt, printable};
use policy_report::PolicyResult;

use super::writer::{Out, ReportWriter};
use super::{ObjectReport, RunSummary, Totals};

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();
/// The maximum line width, in characters.
const WIDTH: usize = 80;
/// The indentation of the first line of a finding.
const INDENT: usize = 4;
/// The indentation of the other lines of a finding.
const HANGING_INDENT: usize = 6;
pub(crate) const BOLD: Style = Style::new().bold();

/// The color of an outcome on a terminal.
pub(crate) fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Allow => GREEN,
        Outcome::Warn | Outcome::Patch => YELLOW,
        Outcome::Deny => RED,
    }
}

/// Prints the denials, warnings and patches by file, and a summary.
#[derive(Default)]
pub(super) struct Human {
    /// The file of the last printed result.
    file: String,
}

impl ReportWriter for Human {
    fn begin(&mut self, _: &mut Out) -> io::Result<()> {
        Ok(())
    }

    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()> {
        for result in object.results.iter().filter(|result| result.outcome != Outcome::Allow) {
            if self.file != result.source.file {
                let blank = if self.file.is_empty() { "" } else { "\n" };
                writeln!(out, "{blank}{BOLD}{}{BOLD:#}", printable(&result.source.file))?;
                self.file.clone_from(&result.source.file);
            }
            print(out, result)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        let RunSummary { objects, denied, warned, patched } = totals.summary;
        let color = if denied > 0 { RED } else { GREEN };
        let findings = |count: usize, what: &str| match count {
            0 => String::new(),
            1 => format!(", 1 finding {what}"),
            many => format!(", {many} findings {what}"),
        };
        let excepted = findings(totals.excepted, "excepted");
        let accepted = findings(totals.accepted, "in the baseline");
        let plural = if objects == 1 { "" } else { "s" };
        let evaluated = format!("{} evaluated", totals.evaluated);
        let blank = if self.file.is_empty() { "" } else { "\n" };
        writeln!(
            out,
            "{blank}{color}{objects} object{plural}, {evaluated}: {denied} denied, {warned} warned, {patched} patched{excepted}{accepted}{color:#}"
        )
    }
}

/// Wraps a sentence to lines of [`WIDTH`]. The first line starts at column `first`, the others after `others` spaces. Words are
/// not broken, and styles have no width.
pub(crate) fn wrapped(sentence: &str, first: usize, others: usize) -> String {
    let (indent, others) = (" ".repeat(first), " ".repeat(others));
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(&indent)
        .subsequent_indent(&others)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(sentence, options).split_off(first)
}

fn print(out: &mut Out, result: &PolicyResult) -> io::Result<()> {
    let color = style(result.outcome);
    let word = result.outcome.as_str();
    let of = if result.of.is_some() { "pods of " } else { "" };
    let (line, column) = (result.source.line, result.source.column);
    // Findings have their own locations.
    let place = match result.denials.is_empty() && result.warnings.is_empty() {
        true => format!(" {DIM}{line}:{column}{DIM:#}"),
        false => String::new(),
    };
    writeln!(out, "  {color}{word}{color:#} {of}{} {DIM}({}){DIM:#}{place}", result.object, result.policy)?;
    for finding in result.denials.iter().chain(&result.warnings) {
        let control = finding.control.map(|control| format!(" {DIM}({control}){DIM:#}")).unwrap_or_default();
        let sentence = format!("{}:{}: {}{control}", finding.line, finding.column, finding.sentence());
        writeln!(out, "    {}", wrapped(&sentence, INDENT, HANGING_INDENT))?;
        if let Some(written) = &finding.written {
            writeln!(out, "      {DIM}|{DIM:#} {}", written.line)?;
            writeln!(out, "      {DIM}|{DIM:#} {color}{}{color:#}", written.carets())?;
        }
        if let Some(built) = &finding.built {
            writeln!(out, "      {DIM}| rendered:{DIM:#} {built}")?;
        }
    }
    if result.left_out > 0 {
        writeln!(out, "    and {} more", result.left_out)?;
    }
    for operation in &result.patch {
        // `render --diff` shows the whole change.
        let value = operation.value.to_string();
        let line = format!("    {} {} {}", operation.op, printable(&operation.path), excerpt(&value));
        match line.char_indices().nth(WIDTH - 1) {
            Some((end, _)) => writeln!(out, "{}…", line.get(..end).unwrap_or_default())?,
            None => writeln!(out, "{line}")?,
        }
    }
    if result.outcome == Outcome::Deny {
        writeln!(
            out,
            "    {DIM}{}{DIM:#}",
            wrapped(&format!("to fix: {}", result.remediation), INDENT, HANGING_INDENT)
        )?;
    }
    Ok(())
}
