//! The scripts in the databases' pods call the right programs in the right order, in every initial state.
//!
//! Each script runs with substitutes for the programs that it calls, which record their arguments and input.

mod label;
mod mongodb;
mod mysql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use conformance::{ignored, root};
use libtest_mimic::{Failed, Trial};

use crate::tool;

type Test = fn() -> Result<(), Failed>;

pub(crate) fn trials() -> Vec<Trial> {
    let tests = mysql::TESTS.into_iter().chain(label::TESTS).chain(mongodb::TESTS);
    let mut trials: Vec<Trial> =
        tests.map(|(name, test)| Trial::test(format!("scripts::{name}"), test)).collect();
    match tool("shellcheck", "apt-get install shellcheck") {
        Ok(_) => trials.push(Trial::test("scripts::shellcheck_reports_nothing", shellcheck)),
        Err(reason) => trials.push(ignored("scripts::shellcheck", &reason)),
    }
    match tool("node", "install Node.js") {
        Ok(_) => trials.extend(mongodb::replica_set()),
        Err(reason) => trials.push(ignored("scripts::replica_set", &reason)),
    }
    trials
}

fn shellcheck() -> Result<(), Failed> {
    let mut scripts = Vec::new();
    walk(&root().join("manifests"), &mut scripts);
    walk(&root().join("tests"), &mut scripts);
    scripts.push(root().join("tests/manifests/stand-ins/program"));
    scripts.push(root().join(".ci/run"));
    assert!(scripts.len() >= 12, "{} scripts", scripts.len());
    let output = tool("shellcheck", "")?.arg("--external-sources").args(&scripts).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stdout).into_owned().into())
    }
}

fn walk(folder: &Path, scripts: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        match path.is_dir() {
            true if path.ends_with("target") => {}
            true => walk(&path, scripts),
            false if path.extension().is_some_and(|end| end == "sh") => scripts.push(path),
            false => {}
        }
    }
}

/// A simulated pod for a script: folders, environment variables, and substitutes for programs.
struct ScriptPod {
    folder: PathBuf,
    environment: BTreeMap<&'static str, String>,
}

/// The result of a script, and the recorded calls.
struct ScriptRun {
    output: Output,
    calls: String,
}

impl ScriptPod {
    fn new(test: &str, hostname: &str) -> Result<Self, Failed> {
        let folder = std::env::temp_dir().join(format!("pratique-script-{test}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        for sub in ["bin", "answers", "data", "run", "conf", "account"] {
            std::fs::create_dir_all(folder.join(sub))?;
        }
        for name in ["mysql", "xtrabackup", "xbstream", "socat", "curl", "mongosh"] {
            std::fs::copy(root().join("tests/manifests/stand-ins/program"), folder.join("bin").join(name))?;
        }
        std::fs::write(folder.join("account/token"), "the-token")?;
        let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH")?);
        let at = |sub: &str| folder.join(sub).display().to_string();
        let scripts = root().join("manifests/data/mysql/scripts").display().to_string();
        let environment = [
            ("PATH", path),
            ("HOSTNAME", hostname.to_owned()),
            ("CALLS", at("calls")),
            ("ANSWERS", at("answers")),
            ("DATA", at("data")),
            ("RUN", at("run")),
            ("CONF", at("conf")),
            ("ACCOUNT", at("account")),
            ("SOURCE", root().join("manifests/data/mysql/config").display().to_string()),
            ("SCRIPTS", scripts),
            ("PAUSE", "0".to_owned()),
            ("INTERVAL", "0".to_owned()),
            ("POD_NAMESPACE", "mysql".to_owned()),
            ("REPLICATION_PASSWORD", "replication-secret".to_owned()),
            ("BACKUP_PASSWORD", "backup-secret".to_owned()),
            ("MONITOR_PASSWORD", "monitor-secret".to_owned()),
        ];
        Ok(ScriptPod { environment: environment.into(), folder })
    }

    /// Sets the bash code that a substitute runs when it is called.
    fn answer(&self, program: &str, script: &str) -> Result<(), Failed> {
        Ok(std::fs::write(self.folder.join("answers").join(program), script)?)
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.insert(name, value.to_owned());
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(root().join("manifests/data").join(script)).env_clear().envs(&self.environment);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> Result<ScriptRun, Failed> {
        let output = self.command(script).output()?;
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        drop(std::fs::remove_file(self.path("calls")));
        // All users can read the arguments of processes, so passwords must not be on a command line.
        let lines = calls.lines().filter(|line| !line.starts_with('>'));
        for line in lines {
            assert!(!line.contains("-secret") && !line.contains("the-token"), "{line}");
        }
        Ok(ScriptRun { output, calls })
    }
}

impl Drop for ScriptPod {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl ScriptRun {
    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.output.status.code(), Some(code), "{}\n{}", self.output(), self.calls);
        self
    }

    /// The programs that were called, in order.
    fn programs(&self) -> Vec<&str> {
        let calls = self.calls.lines().filter(|line| !line.starts_with('>'));
        calls.filter_map(|line| line.split(' ').next()).collect()
    }

    /// Checks that the recorded calls contain these texts in this order.
    fn in_order(&self, texts: &[&str]) -> &Self {
        let mut rest = self.calls.as_str();
        for text in texts {
            let Some((_, after)) = rest.split_once(text) else {
                panic!("{text}: not found, or in the wrong order, in\n{}", self.calls);
            };
            rest = after;
        }
        self
    }
}
