//! Nothing is left after the process that started the platform is killed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use conformance::namespace;
use libtest_mimic::Failed;

/// Kills the platform in the middle of its start, when the control plane and the nodes are running.
pub(crate) fn no_process_survives() -> Result<(), Failed> {
    let _alone = crate::PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = marks()?;
    let mut command = namespace::command(&["production", "comes_up"])?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let output = BufReader::new(child.stderr.take().ok_or("standard error is piped")?);
    let mut reached = false;
    for line in output.lines() {
        if line?.contains("nodes") {
            reached = true;
            break;
        }
    }
    let started = descendants(child.id());
    child.kill()?;
    child.wait()?;
    if !reached || started.len() < 6 {
        return Err(format!("the platform did not start: {} processes", started.len()).into());
    }
    let since = Instant::now();
    loop {
        let left: Vec<u32> = started.iter().copied().filter(|pid| is_alive(*pid)).collect();
        if left.is_empty() {
            break;
        }
        if since.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} processes are left: {left:?}", left.len()).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = marks()?;
    if after != before {
        return Err(format!("before: {before:?}\nafter: {after:?}").into());
    }
    Ok(())
}

/// Everything that the platform could leave: mounts, interfaces, routes and files.
fn marks() -> std::io::Result<BTreeSet<String>> {
    let mut marks = BTreeSet::new();
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    marks.extend(mounts.lines().filter(|line| line.contains("pratique")).map(str::to_owned));
    let interfaces = std::fs::read_to_string("/proc/net/dev")?;
    marks.extend(
        interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()),
    );
    let routes = std::fs::read_to_string("/proc/net/route")?;
    marks.extend(routes.lines().map(str::to_owned));
    for file in std::fs::read_dir("/run")?.chain(std::fs::read_dir(std::env::temp_dir())?).flatten() {
        let path = file.path().display().to_string();
        marks.extend(path.contains("pratique").then_some(path));
    }
    Ok(marks)
}

/// A process and all its descendants.
fn descendants(of: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([of]);
    loop {
        let mut more = BTreeSet::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent =
                stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            if parent.is_some_and(|parent: u32| found.contains(&parent)) && !found.contains(&pid) {
                more.insert(pid);
            }
        }
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Whether a process exists and is not a zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z")
}
