//! Allowed connections: compared with netpol-analyzer and with an oracle, and the `connectivity` command.

mod command;
mod oracle;
mod properties;
mod random_cluster;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::process::{self, pratique};
use conformance::{ignored, root, trials};
use libtest_mimic::{Failed, Trial};

fn main() -> ExitCode {
    process::main(trials)
}

fn trials() -> Vec<Trial> {
    let mut trials = trials![
        properties::the_map_agrees_with_the_oracle,
        properties::explanations_agree_with_the_oracle,
        properties::isolation_agrees_with_the_oracle,
        properties::replicas_change_nothing,
    ];
    trials.extend(command::trials());
    let folder =
        std::env::var_os("NETPOL_SETS").map_or_else(|| root().join("../shared/netpol"), PathBuf::from);
    let Ok(sets) = std::fs::read_dir(&folder) else {
        trials.push(ignored(
            "sets",
            "no manifest sets with expected maps in ../shared/netpol: set NETPOL_SETS to their folder",
        ));
        return trials;
    };
    for set in
        sets.filter_map(|set| set.ok().map(|set| set.path())).filter(|set| set.join("expected.txt").is_file())
    {
        for (form, expected) in [("text", "expected.txt"), ("csv", "expected.csv")] {
            if set.join(expected).is_file() {
                let name = set.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let set = set.clone();
                trials.push(Trial::test(format!("sets::{name}::{form}"), move || same(&set, form, expected)));
            }
        }
    }
    trials
}

/// The output must be the same lines as that of netpol-analyzer.
fn same(set: &Path, form: &str, expected: &str) -> Result<(), Failed> {
    let output = pratique().args(["connectivity", "--output", form]).arg(set.join("input")).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {text}", output.status).into());
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (found, expected) =
        (lines(&String::from_utf8(output.stdout)?), lines(&std::fs::read_to_string(set.join(expected))?));
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>().join("\n")
    };
    if found != expected {
        let (missing, extra) = (only(&expected, &found), only(&found, &expected));
        return Err(format!("missing:\n{missing}\nextra:\n{extra}\n{text}").into());
    }
    Ok(())
}
