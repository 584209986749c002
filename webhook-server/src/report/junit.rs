//! The form of a report for CI servers that read JUnit's: a test suite for each object, a test case for each policy that judged it.
//!
//! Source: the schema of Maven Surefire (`surefire-test-report.xsd`), which Jenkins and GitLab read as well.

use std::io::{self, Write as _};

use policy_core::Outcome;
use policy_core::path::printable;
use quick_xml::escape::escape;

use super::form::{Form, Out};
use super::{Found, Judged, Row, Totals};

/// XML.
pub(super) struct Junit;

impl Form for Junit {
    fn begin(&mut self, out: &mut Out) -> io::Result<()> {
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"pratique\">")
    }

    fn object(&mut self, out: &mut Out, judged: &Judged) -> io::Result<()> {
        let Some(first) = judged.rows.first() else { return Ok(()) };
        let failures = judged.rows.iter().filter(|row| row.outcome == Outcome::Deny).count();
        let file = &first.source.file;
        writeln!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"0\">",
            attribute(&format!("{file}: {}", first.object)),
            judged.rows.len()
        )?;
        for row in &judged.rows {
            case(out, row)?;
        }
        writeln!(out, "</testsuite>")
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        let errors: Vec<&String> = totals.failures.iter().chain(&totals.errors).collect();
        if !errors.is_empty() {
            let count = errors.len();
            writeln!(
                out,
                "<testsuite name=\"what could not be judged\" tests=\"{count}\" failures=\"0\" errors=\"{count}\" skipped=\"0\" time=\"0\">"
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

fn case(out: &mut Out, row: &Row) -> io::Result<()> {
    let of = if row.of.is_some() { " (its pods)" } else { "" };
    write!(
        out,
        "<testcase classname=\"{}\" name=\"{}{of}\" time=\"0\">",
        attribute(&row.object.to_string()),
        attribute(row.policy)
    )?;
    let lines = |all: &[Found]| -> String {
        let line = |found: &Found| {
            format!("{}:{}:{}: {}\n", row.source.file, found.line, found.column, found.sentence())
        };
        all.iter().map(line).collect()
    };
    if let Some(first) = row.denials.first() {
        let text = format!("{}to fix: {}\n", lines(&row.denials), row.remediation);
        let message = attribute(&first.sentence());
        write!(out, "<failure message=\"{message}\" type=\"deny\">{}</failure>", content(&text))?;
    }
    if !row.warnings.is_empty() {
        write!(out, "<system-out>{}</system-out>", content(&lines(&row.warnings)))?;
    }
    writeln!(out, "</testcase>")
}

/// The text of an attribute: a line, without what XML 1.0 (section 2.2) has no place for.
fn attribute(text: &str) -> String {
    escape(&*printable(text)).into_owned()
}

/// The text of an element, of several lines.
fn content(text: &str) -> String {
    text.lines().map(|line| attribute(line) + "\n").collect()
}
