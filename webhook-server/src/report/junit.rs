//! The report format for CI servers that read JUnit XML: a test suite for each object, and a test case for each of its policies.
//!
//! Source: the schema of Maven Surefire (`surefire-test-report.xsd`), which Jenkins and GitLab read as well.

use std::io::{self, Write as _};

use policy_core::Outcome;
use policy_core::path::printable;
use policy_report::{PolicyResult, ReportedFinding};
use quick_xml::escape::escape;

use super::writer::{Out, ReportWriter};
use super::{ObjectReport, Totals};

/// Writes JUnit XML.
pub(super) struct Junit;

impl ReportWriter for Junit {
    fn begin(&mut self, out: &mut Out) -> io::Result<()> {
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"pratique\">")
    }

    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()> {
        let Some(first) = object.results.first() else { return Ok(()) };
        let failures = object.results.iter().filter(|result| result.outcome == Outcome::Deny).count();
        let file = &first.source.file;
        writeln!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"0\">",
            attribute(&format!("{file}: {}", first.object)),
            object.results.len()
        )?;
        for result in &object.results {
            case(out, result)?;
        }
        writeln!(out, "</testsuite>")
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        let errors: Vec<&String> = totals.failures.iter().chain(&totals.errors).collect();
        if !errors.is_empty() {
            let count = errors.len();
            writeln!(
                out,
                "<testsuite name=\"errors\" tests=\"{count}\" failures=\"0\" errors=\"{count}\" skipped=\"0\" time=\"0\">"
            )?;
            for error in errors {
                let text = attribute(error);
                writeln!(
                    out,
                    "<testcase classname=\"pratique\" name=\"{text}\" time=\"0\"><error message=\"{text}\" type=\"error\"/></testcase>"
                )?;
            }
            writeln!(out, "</testsuite>")?;
        }
        writeln!(out, "</testsuites>")
    }
}

fn case(out: &mut Out, result: &PolicyResult) -> io::Result<()> {
    let of = if result.of.is_some() { " (its pods)" } else { "" };
    write!(
        out,
        "<testcase classname=\"{}\" name=\"{}{of}\" time=\"0\">",
        attribute(&result.object.to_string()),
        attribute(result.policy)
    )?;
    let lines = |all: &[ReportedFinding]| -> String {
        let line = |finding: &ReportedFinding| {
            format!("{}:{}:{}: {}\n", result.source.file, finding.line, finding.column, finding.sentence())
        };
        all.iter().map(line).collect()
    };
    if let Some(first) = result.denials.first() {
        let text = format!("{}to fix: {}\n", lines(&result.denials), result.remediation);
        let message = attribute(&first.sentence());
        write!(out, "<failure message=\"{message}\" type=\"deny\">{}</failure>", content(&text))?;
    }
    if !result.warnings.is_empty() {
        write!(out, "<system-out>{}</system-out>", content(&lines(&result.warnings)))?;
    }
    writeln!(out, "</testcase>")
}

/// The text of an attribute: one line, without the characters that XML 1.0 (section 2.2) does not allow.
fn attribute(text: &str) -> String {
    escape(&*printable(text)).into_owned()
}

/// The text of an element, which can have several lines.
fn content(text: &str) -> String {
    text.lines().map(|line| attribute(line) + "\n").collect()
}
