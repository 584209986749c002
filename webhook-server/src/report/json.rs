//! The report format for programs: one JSON object.

use std::io::{self, Write as _};

use serde::Serialize;

use super::writer::{Out, ReportWriter};
use super::{ObjectReport, RunSummary, Totals};

/// `{"verdicts":[…],"summary":{…}}`, and `errors` and `failures` if there are any.
#[derive(Default)]
pub(super) struct Json {
    has_results: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonFooter<'a> {
    summary: &'a RunSummary,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    errors: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    failures: &'a [String],
}

impl ReportWriter for Json {
    fn begin(&mut self, out: &mut Out) -> io::Result<()> {
        write!(out, "{{\"verdicts\":[")
    }

    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()> {
        for result in &object.results {
            if std::mem::replace(&mut self.has_results, true) {
                write!(out, ",")?;
            }
            serde_json::to_writer(&mut *out, result)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        let after =
            JsonFooter { summary: &totals.summary, errors: &totals.errors, failures: &totals.failures };
        let after = serde_json::to_string(&after)?;
        writeln!(out, "],{}", after.strip_prefix('{').unwrap_or(&after))
    }
}
