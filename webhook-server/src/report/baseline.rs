//! Findings that are accepted for now: what is known already does not fail, what is new does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use policy_core::Outcome;
use policy_report::{PolicyResult, ReportedFinding};

use super::ObjectReport;

/// What stands at the top of a file.
const HEAD: &str =
    "# Findings that are accepted, one a line: `pratique check --write-baseline FILE` made it.\n";

/// How often each finding is accepted, by its key ([`PolicyResult::key`]): no line numbers, so that it survives moved lines.
#[derive(Debug, Default)]
pub(super) struct Baseline(BTreeMap<String, usize>);

impl Baseline {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("--baseline {}", file.display()))?;
        let mut baseline = Baseline::default();
        for (number, line) in text.lines().enumerate() {
            match line.split_whitespace().next() {
                None => {}
                Some(first) if first.starts_with('#') => {}
                Some("deny" | "warn") => *baseline.0.entry(line.trim().to_owned()).or_default() += 1,
                Some(_) => bail!(
                    "--baseline {}:{}: must be a line that `--write-baseline` writes: `deny POLICY …`",
                    file.display(),
                    number + 1
                ),
            }
        }
        Ok(baseline)
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let lines = self.0.iter().flat_map(|(key, count)| std::iter::repeat_n(key, *count));
        let text: String =
            std::iter::once(HEAD.to_owned()).chain(lines.map(|key| format!("{key}\n"))).collect();
        std::fs::write(file, text).with_context(|| format!("--write-baseline {}", file.display()))
    }

    /// Adds what was found.
    pub(super) fn collect(&mut self, object: &ObjectReport) {
        for result in &object.results {
            for (outcome, finding) in result.findings() {
                *self.0.entry(line(result, outcome, finding)).or_default() += 1;
            }
        }
    }

    /// Takes away what is accepted, and says how much that was. Each is accepted as often as it was there.
    pub(super) fn accept(&mut self, object: &mut ObjectReport) -> usize {
        let mut accepted = 0;
        for result in &mut object.results {
            for outcome in [Outcome::Deny, Outcome::Warn] {
                let all = std::mem::take(result.findings_of(outcome));
                let mut is_new =
                    |finding: &ReportedFinding| match self.0.get_mut(&line(result, outcome, finding)) {
                        Some(count @ 1..) => {
                            *count -= 1;
                            accepted += 1;
                            false
                        }
                        _ => true,
                    };
                let left: Vec<ReportedFinding> = all.into_iter().filter(|finding| is_new(finding)).collect();
                *result.findings_of(outcome) = left;
            }
            result.settle();
        }
        accepted
    }

    /// How many findings it accepts that are not there any more.
    pub(super) fn gone(&self) -> usize {
        self.0.values().sum()
    }
}

/// A finding as a line of the file.
fn line(result: &PolicyResult, outcome: Outcome, finding: &ReportedFinding) -> String {
    format!("{} {}", outcome.as_str(), result.key(finding))
}
