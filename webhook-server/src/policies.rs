//! `pratique policies`: what there is to choose from, and what asks it in a cluster.

mod register;

use std::io::Write as _;

use policy_catalog::{POLICIES, render};
use policy_core::Entry;
use serde_json::json;

use crate::args::{End, Output, PoliciesArgs};
use crate::config;
use crate::report::{BOLD, wrapped};

pub use register::{exempt, kubewarden, webhook_configuration};

/// How wide the columns between a name and what the policy does are, with the spaces around them.
const COLUMNS: usize = "  SEVERITY  CHANGES  ".len();

/// Runs the command.
///
/// # Errors
/// There is no such policy, a configuration that cannot be used, or standard output is closed.
pub fn run(args: &PoliciesArgs) -> anyhow::Result<End> {
    let mut out = anstream::stdout();
    if args.schema {
        writeln!(out, "{}", serde_json::to_string_pretty(&config::schema())?)?;
        return Ok(End::Well);
    }
    if args.webhook_configuration {
        write!(out, "{}", webhook_configuration(&args.registration)?)?;
        return Ok(End::Well);
    }
    if let Some(registry) = &args.kubewarden {
        write!(out, "{}", kubewarden(&args.registration, registry)?)?;
        return Ok(End::Well);
    }
    let entries: Vec<&Entry> = match &args.name {
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
    Ok(End::Well)
}

/// The policies, a row each: names as wide as the longest, and what they do in the columns that are left.
fn table(entries: &[&Entry], out: &mut impl std::io::Write) -> std::io::Result<()> {
    let width = entries.iter().map(|entry| entry.about.name.len()).max().unwrap_or_default();
    let left = width + COLUMNS;
    writeln!(out, "{BOLD}{:width$}  SEVERITY  CHANGES  WHAT IT DOES{BOLD:#}", "POLICY")?;
    for entry in entries {
        let about = entry.about;
        let changes = if about.mutates { "yes" } else { "no" };
        let summary = wrapped(about.summary, (left, left), 0);
        writeln!(out, "{:width$}  {:8}  {changes:7}  {summary}", about.name, about.severity.as_str())?;
    }
    Ok(())
}

fn describe(entry: &Entry) -> serde_json::Value {
    let about = entry.about;
    json!({
        "name": about.name,
        "title": about.title,
        "summary": about.summary,
        "remediation": about.remediation,
        "source": about.source,
        "controls": render::controls(entry).into_iter().map(|(id, what)| json!({"id": id, "summary": what})).collect::<Vec<_>>(),
        "severity": about.severity.as_str(),
        "mutates": about.mutates,
        "reads": about.reads.iter().map(|read| read.kind).collect::<Vec<_>>(),
        "needsCluster": about.needs_cluster,
        "resources": about.scope.resources.iter().flat_map(|resource| resource.rule_names()).collect::<Vec<_>>(),
        "settings": (entry.schema)(),
    })
}
