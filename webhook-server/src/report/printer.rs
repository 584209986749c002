//! Prints a report while objects are evaluated.

use std::io;
use std::path::PathBuf;

use policy_core::Outcome;
use policy_core::path::printable;

use super::baseline::Baseline;
use super::github::Github;
use super::human::Human;
use super::json::Json;
use super::junit::Junit;
use super::sarif::Sarif;
use super::writer::{Out, ReportWriter};
use super::{RED, Report, ReportSink, Totals, YELLOW};
use crate::args::{ExitStatus, FailOn, ReportArgs, ReportFormat};

/// Prints a report to standard output, and notes and errors to standard error at the end.
pub struct Printer {
    form: Box<dyn ReportWriter>,
    out: Out,
    fail_on: FailOn,
    accepted: Option<Baseline>,
    collected: Option<(Baseline, PathBuf)>,
    totals: Totals,
    notes: Vec<String>,
    /// The error because of which nothing more can be written.
    failed: Option<io::Error>,
}

impl Printer {
    /// Begins a report.
    ///
    /// # Errors
    /// The baseline cannot be read, or standard output is closed.
    pub fn new(args: &ReportArgs) -> anyhow::Result<Self> {
        let accepted = args.baseline.as_deref().map(Baseline::read).transpose()?;
        let collected = args.write_baseline.clone().map(|file| (Baseline::default(), file));
        let (mut form, mut out) = open(args.output);
        form.begin(&mut out)?;
        Ok(Printer {
            form,
            out,
            fail_on: args.fail_on,
            accepted,
            collected,
            totals: Totals::default(),
            notes: Vec::new(),
            failed: None,
        })
    }

    /// Ends the report, and returns the exit status.
    ///
    /// # Errors
    /// Standard output is closed, or a baseline cannot be written.
    pub fn end(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        self.form.end(&mut self.out, &self.totals)?;
        self.out.flush()?;
        let gone = self.accepted.as_ref().map_or(0, Baseline::gone);
        if gone > 0 {
            self.notes.push(format!(
                "accepted findings that no longer occur: {gone}; update the baseline with --write-baseline"
            ));
        }
        for note in &self.notes {
            print_error!("{YELLOW}note{YELLOW:#} {}", printable(note));
        }
        for error in self.totals.failures.iter().chain(&self.totals.errors) {
            print_error!("{RED}error{RED:#} {}", printable(error));
        }
        let Totals { summary, warnings, errors, failures, .. } = &self.totals;
        let fails = summary.denied > 0 || (self.fail_on == FailOn::Warn && *warnings > 0);
        let end = match () {
            () if !errors.is_empty() => ExitStatus::Unreadable,
            () if !failures.is_empty() => ExitStatus::Denied,
            // Findings that this run writes to a baseline do not fail.
            () if fails && self.collected.is_none() => ExitStatus::Denied,
            () => ExitStatus::Success,
        };
        if let Some((baseline, file)) = &self.collected {
            baseline.write(file)?;
        }
        Ok(end)
    }
}

impl ReportSink for Printer {
    fn take(&mut self, part: Report) {
        self.notes.extend(part.notes);
        self.totals.errors.extend(part.errors);
        self.totals.failures.extend(part.failures);
        for mut object in part.objects {
            if let Some(baseline) = &mut self.accepted {
                self.totals.accepted += baseline.accept(&mut object);
            }
            if let Some((baseline, _)) = &mut self.collected {
                baseline.collect(&object);
            }
            let totals = &mut self.totals;
            totals.excepted += object.results.iter().map(|result| result.excepted.len()).sum::<usize>();
            totals.warnings += object.results.iter().map(|result| result.warnings.len()).sum::<usize>();
            totals.evaluated += usize::from(object.is_evaluated);
            totals.summary.objects += 1;
            match object.outcome() {
                Outcome::Allow => {}
                Outcome::Warn => totals.summary.warned += 1,
                Outcome::Patch => totals.summary.patched += 1,
                Outcome::Deny => totals.summary.denied += 1,
            }
            if self.failed.is_none() {
                self.failed = self.form.object(&mut self.out, &object).err();
            }
        }
    }
}

/// The writer for a format, and its output. Only the human format has colors, and only on a terminal.
fn open(form: ReportFormat) -> (Box<dyn ReportWriter>, Out) {
    let plain = || -> Out { Box::new(std::io::BufWriter::new(std::io::stdout())) };
    match form {
        ReportFormat::Human => {
            (Box::new(Human::default()), Box::new(std::io::BufWriter::new(anstream::stdout())))
        }
        ReportFormat::Json => (Box::new(Json::default()), plain()),
        ReportFormat::Sarif => (Box::new(Sarif::default()), plain()),
        ReportFormat::Junit => (Box::new(Junit), plain()),
        ReportFormat::Github => (Box::new(Github), plain()),
    }
}
