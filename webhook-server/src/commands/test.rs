//! `pratique test`: runs cases, and records their verdicts with `--bless`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy_core::{Arena, Case, Outcome, case};

use crate::args::{ExitStatus, TestArgs};
use crate::sources::{self, Input, Kustomizations};
use crate::{config, report};

/// Runs the command.
///
/// # Errors
/// A path does not exist or contains no case.
pub fn run(args: &TestArgs) -> anyhow::Result<ExitStatus> {
    let (mut passed, mut failed) = (0, 0);
    for path in find(&args.paths)? {
        match run_case(&path, args) {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                let red = report::style(Outcome::Deny);
                anstream::println!("{red}FAILED{red:#} {}: {error}", path.display());
            }
        }
    }
    anstream::println!("{passed} passed, {failed} failed");
    Ok(if failed > 0 { ExitStatus::Denied } else { ExitStatus::Success })
}

/// The case files under these paths: the given files, and in each directory the files in folders named `cases`, or all
/// files if it has no such folder.
///
/// # Errors
/// A path does not exist, or no case is found.
pub fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let places = sources::places(std::slice::from_ref(path), Kustomizations::ReadFiles)?;
        let files: Vec<PathBuf> = places
            .into_iter()
            .filter_map(|place| match place {
                Input::File(file) => Some(file),
                _ => None,
            })
            .collect();
        let in_cases = |file: &&PathBuf| file.parent().is_some_and(|parent| parent.ends_with("cases"));
        let chosen: Vec<PathBuf> = files.iter().filter(in_cases).cloned().collect();
        found.extend(if chosen.is_empty() { files } else { chosen });
    }
    if found.is_empty() {
        bail!("no case found");
    }
    Ok(found)
}

/// The policy of a case in `<policy>/cases/`.
pub fn policy_by_folder(path: &Path) -> Option<&str> {
    let cases = path.parent().filter(|parent| parent.ends_with("cases"))?;
    cases.parent()?.file_name()?.to_str()
}

fn run_case(path: &Path, args: &TestArgs) -> anyhow::Result<()> {
    let text = sources::read_file(path)?;
    let arena = Arena::new();
    let case = Case::decode(&text, &arena)?;
    let name = case.policy.or(policy_by_folder(path)).or(args.policy.as_deref());
    let name = name.context("unknown policy: set `policy: NAME` in the file, or use --policy NAME")?;
    let verdicts = case.run(config::find(name)?, &arena)?;
    let claim = case::claim(path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default())?;
    let (outcome, rendered) = (case::outcome(&verdicts), case::render(&verdicts));
    if outcome != claim {
        bail!("the file name expects {}, the verdict is {}:\n{rendered}", claim.as_str(), outcome.as_str());
    }
    if case.recorded == Some(rendered.as_str()) {
        return Ok(());
    }
    if args.bless {
        std::fs::write(path, case.blessed(&rendered))?;
        return Ok(());
    }
    match case.recorded {
        None => bail!("no verdict is recorded; run `pratique test --bless` to record this one:\n{rendered}"),
        Some(recorded) => {
            bail!(
                "the verdict differs from the recorded one (run with `--bless` to update it):\nrecorded {recorded}is {rendered}"
            )
        }
    }
}
