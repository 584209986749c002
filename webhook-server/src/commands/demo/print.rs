//! Prints the results of the demo.

use std::io::Write as _;
use std::time::Duration;

use policy_core::Outcome;
use policy_core::path::printable;

use super::{DemoObject, DemoResult, OWN_MANIFESTS};
use crate::report::style;

/// Prints the denied examples.
pub(super) fn examples(examples: &[DemoObject], results: &[DemoResult]) -> std::io::Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    let mut out = anstream::stdout();
    writeln!(out, "{} objects that break the policies:\n", examples.len())?;
    for (example, result) in examples.iter().zip(results) {
        let color = style(if result.allowed { Outcome::Allow } else { Outcome::Deny });
        let verdict = if result.allowed { "admitted" } else { "denied" };
        writeln!(out, "{color}{verdict}{color:#} {}", printable(&example.title))?;
        for reason in &result.reasons {
            writeln!(out, "    {}", printable(reason))?;
        }
    }
    writeln!(out, "\nThe manifests of this repository, in {OWN_MANIFESTS}:\n")
}

/// Prints a row for each object, and a summary.
pub(super) fn table(items: &[DemoObject], results: &[DemoResult]) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    let width = items.iter().map(|item| item.title.chars().count()).max().unwrap_or(6);
    writeln!(out, "{:width$}  mutate     validate   latency  file", "object")?;
    for (item, result) in items.iter().zip(results) {
        let outcome = if result.allowed { Outcome::Allow } else { Outcome::Deny };
        let color = style(outcome);
        let mutated = if result.added.is_empty() { "unchanged" } else { "patched" };
        let latency = result.latency.as_secs_f64() * 1e3;
        writeln!(
            out,
            "{:width$}  {mutated:9}  {color}{:8}{color:#}  {latency:6.2} ms  {}",
            printable(&item.title),
            if result.allowed { "admitted" } else { "denied" },
            printable(&item.file),
        )?;
        if !result.added.is_empty() {
            writeln!(out, "    + {}", printable(&result.added.join(", ")))?;
        }
        for reason in &result.reasons {
            writeln!(out, "    {}", printable(reason))?;
        }
    }
    let denied = results.iter().filter(|result| !result.allowed).count();
    let mut latencies: Vec<Duration> = results.iter().map(|result| result.latency).collect();
    latencies.sort();
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3;
    writeln!(
        out,
        "\n{} objects and pods of workloads: {} admitted, {denied} denied; median latency of both calls together {median:.2} ms",
        results.len(),
        results.len() - denied,
    )
}
