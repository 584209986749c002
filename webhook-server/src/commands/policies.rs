//! `pratique policies`: lists the policies, and prints the resources that register them in a cluster.

mod registration;

use std::io::Write as _;

use policy_catalog::{POLICIES, render};
use policy_core::{ControlMetadata, PolicyDefinition};
use serde_json::json;

use crate::args::{ExitStatus, Output, PoliciesArgs};
use crate::config;
use crate::report::{BOLD, wrapped};

pub use registration::{exempt, kubewarden, webhook_configuration};

/// The width of the columns between the name and the summary, with the spaces around them.
const COLUMNS: usize = "  SEVERITY  CHANGES  ".len();

/// Runs the command.
///
/// # Errors
/// The policy does not exist, the configuration is invalid, or standard output is closed.
pub fn run(args: &PoliciesArgs) -> anyhow::Result<ExitStatus> {
    let mut out = anstream::stdout();
    if args.schema {
        writeln!(out, "{}", serde_json::to_string_pretty(&config::schema())?)?;
        return Ok(ExitStatus::Success);
    }
    if args.webhook_configuration {
        write!(out, "{}", webhook_configuration(&args.registration)?)?;
        return Ok(ExitStatus::Success);
    }
    if let Some(registry) = &args.kubewarden {
        write!(out, "{}", kubewarden(&args.registration, registry)?)?;
        return Ok(ExitStatus::Success);
    }
    let entries: Vec<&PolicyDefinition> = match &args.name {
        Some(name) => vec![config::find(name)?],
        None => POLICIES.iter().collect(),
    };
    match (args.output, args.name.is_some()) {
        (Output::Json, _) => {
            let list: Vec<_> = entries.iter().map(|entry| describe(entry)).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
        }
        (Output::Human, true) => {
            for entry in entries {
                write!(out, "{}", render::help(entry))?;
            }
        }
        (Output::Human, false) => {
            table(&entries, &mut out)?;
        }
    }
    Ok(ExitStatus::Success)
}

/// Prints a table of the policies. The first column is as wide as the longest name; summaries use the remaining width.
fn table(entries: &[&PolicyDefinition], out: &mut impl std::io::Write) -> std::io::Result<()> {
    let width = entries.iter().map(|entry| entry.metadata.name.len()).max().unwrap_or_default();
    let left = width + COLUMNS;
    writeln!(out, "{BOLD}{:width$}  SEVERITY  CHANGES  SUMMARY{BOLD:#}", "POLICY")?;
    for entry in entries {
        let metadata = entry.metadata;
        let changes = if metadata.mutates { "yes" } else { "no" };
        let summary = wrapped(metadata.summary, left, left);
        writeln!(out, "{:width$}  {:8}  {changes:7}  {summary}", metadata.name, metadata.severity.as_str())?;
    }
    Ok(())
}

fn describe(entry: &PolicyDefinition) -> serde_json::Value {
    let metadata = entry.metadata;
    json!({
        "name": metadata.name,
        "title": metadata.title,
        "summary": metadata.summary,
        "remediation": metadata.remediation,
        "source": metadata.source,
        "controls": metadata.controls.iter().map(control).collect::<Vec<_>>(),
        "severity": metadata.severity.as_str(),
        "mutates": metadata.mutates,
        "reads": metadata.reads.iter().map(|read| read.kind).collect::<Vec<_>>(),
        "needsCluster": metadata.needs_cluster(),
        "resources": metadata.scope.resources.iter().flat_map(|resource| resource.rule_names()).collect::<Vec<_>>(),
        "settings": (entry.schema)(),
    })
}

fn control(control: &ControlMetadata) -> serde_json::Value {
    json!({
        "id": control.id,
        "summary": control.title,
        "remediation": control.remediation,
        "replaces": control.replaces,
        "hasFix": control.has_fix,
    })
}
