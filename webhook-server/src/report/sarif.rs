//! The report format for code scanning: SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), with a rule for each control.

use std::io::{self, Write as _};

use policy_catalog::{POLICIES, render};
use policy_core::{Outcome, PolicyDefinition};
use policy_manifests::Snippet;
use policy_report::{PolicyResult, ReportedFinding};
use serde_json::{Value, json};

use super::writer::{Out, ReportWriter};
use super::{ObjectReport, Totals, level, place_of};

/// The name of the fingerprint, which identifies a finding even if its line changes.
const FINGERPRINT: &str = "finding/v1";

/// Writes one run.
#[derive(Default)]
pub(super) struct Sarif {
    has_results: bool,
}

impl ReportWriter for Sarif {
    fn begin(&mut self, out: &mut Out) -> io::Result<()> {
        let driver = json!({
            "name": "pratique",
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": POLICIES.iter().flat_map(rules).collect::<Vec<Value>>(),
        });
        // Columns count characters (section 3.14.17).
        write!(
            out,
            "{{\"$schema\":\"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json\",\
             \"version\":\"2.1.0\",\"runs\":[{{\"tool\":{{\"driver\":{driver}}},\"columnKind\":\"unicodeCodePoints\",\"results\":["
        )
    }

    fn object(&mut self, out: &mut Out, object: &ObjectReport) -> io::Result<()> {
        for result in &object.results {
            for (outcome, finding) in result.findings() {
                self.result(out, &sarif_result(result, outcome, finding))?;
            }
            for excepted in &result.excepted {
                let why = format!("{} ({}, until {})", excepted.reason, excepted.owner, excepted.expires);
                let suppressions = json!([{"kind": "external", "justification": why}]);
                let mut suppressed = sarif_result(result, Outcome::Deny, &excepted.finding);
                suppressed
                    .as_object_mut()
                    .and_then(|members| members.insert("suppressions".to_owned(), suppressions));
                self.result(out, &suppressed)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Out, totals: &Totals) -> io::Result<()> {
        let notes: Vec<Value> =
            (totals.failures.iter().chain(&totals.errors)).map(|error| notification(error)).collect();
        let invocation =
            json!({"executionSuccessful": totals.errors.is_empty(), "toolExecutionNotifications": notes});
        writeln!(out, "],\"invocations\":[{invocation}]}}]}}")
    }
}

impl Sarif {
    fn result(&mut self, out: &mut Out, result: &Value) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.has_results, true) { "," } else { "" };
        write!(out, "{comma}{result}")
    }
}

/// A rule for the policy, and one for each of its controls.
fn rules(entry: &PolicyDefinition) -> Vec<Value> {
    let (metadata, help) = (entry.metadata, render::help(entry));
    let rule = |id: String, name: &str, short: &str| {
        json!({
            "id": id, "name": name, "shortDescription": {"text": short}, "fullDescription": {"text": metadata.summary},
            "helpUri": metadata.source,
            "help": {"text": format!("To fix: {}", metadata.remediation), "markdown": help},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["security", "kubernetes", metadata.name], "problem.severity": "error",
                "security-severity": severity(metadata.severity.as_str())},
        })
    };
    let whole = rule(metadata.name.to_owned(), metadata.title, metadata.summary);
    let each = metadata
        .controls
        .iter()
        .map(|control| rule(format!("{}/{}", metadata.name, control.id), control.id, control.title));
    std::iter::once(whole).chain(each).collect()
}

/// The severity for code scanning, on a scale from 0 to 10.
fn severity(severity: &str) -> &'static str {
    match severity {
        "critical" => "9.0",
        "high" => "8.0",
        "medium" => "5.0",
        _ => "3.0",
    }
}

fn sarif_result(result: &PolicyResult, outcome: Outcome, finding: &ReportedFinding) -> Value {
    let rule = match finding.control {
        Some(control) => format!("{}/{control}", result.policy),
        None => result.policy.to_owned(),
    };
    let region = match &finding.written {
        Some(Snippet { line, column, length, .. }) => json!({
            "startLine": finding.line, "startColumn": column, "endColumn": column + length, "snippet": {"text": line},
        }),
        None => json!({"startLine": finding.line, "startColumn": finding.column}),
    };
    json!({
        "ruleId": rule, "level": level(outcome),
        "message": {"text": format!("{}: {}", result.object, finding.sentence())},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&result.source.file)}, "region": region},
            "logicalLocations": [{"fullyQualifiedName": format!("{} {}", result.object, finding.field), "kind": "object"}],
        }],
        "partialFingerprints": {FINGERPRINT: result.key(finding)},
    })
}

/// A notification for an error, with its location if it has one.
fn notification(error: &str) -> Value {
    let text = json!({"text": error});
    let Some((file, line, column)) = place_of(error) else {
        return json!({"level": "error", "message": text});
    };
    let region = json!({"startLine": line, "startColumn": column});
    let place = json!({"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": region}});
    json!({"level": "error", "message": text, "locations": [place]})
}

/// A relative reference (RFC 3986, section 4.2): all bytes except unreserved characters and slashes are percent-encoded.
fn uri(file: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    file.trim_start_matches("./").bytes().map(encode).collect()
}
