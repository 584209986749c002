//! The report format for GitHub Actions: workflow commands that annotate the lines of a pull request.
//!
//! Source: docs.github.com, "Workflow commands for GitHub Actions", setting an error message; the escaping is that of
//! actions/toolkit, `packages/core/src/command.ts`.

use std::io::{self, Write as _};

use policy_report::ReportedFinding;

use super::writer::{Out, ReportWriter};
use super::{ObjectReport, RunSummary, Totals, level, place_of};

/// `::error file=…,line=…,col=…,title=…::message`, one per line.
pub(super) struct Github;

impl ReportWriter for Github {
    fn begin(&mut self, _: &mut Out) -> io::Result<()> {
        Ok(())
    }

    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()> {
        for result in &object.results {
            for (outcome, finding) in result.findings() {
                let level = level(outcome);
                let ReportedFinding { line, column, control, .. } = finding;
                let control = control.map(|control| format!(", {control}")).unwrap_or_default();
                let title = format!("{} ({}{control})", result.object, result.policy);
                let message = format!("{}\nto fix: {}", finding.sentence(), result.remediation);
                writeln!(
                    out,
                    "::{level} file={},line={line},col={column},title={}::{}",
                    property(&result.source.file),
                    property(&title),
                    data(&message)
                )?;
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        for error in totals.failures.iter().chain(&totals.errors) {
            let place = match place_of(error) {
                Some((file, line, column)) => format!("file={},line={line},col={column},", property(file)),
                None => String::new(),
            };
            writeln!(out, "::error {place}title=pratique::{}", data(error))?;
        }
        let RunSummary { objects, denied, warned, .. } = totals.summary;
        let text = format!("objects: {objects}, denied: {denied}, warned: {warned}");
        writeln!(out, "::notice title=pratique::{}", data(&text))
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
