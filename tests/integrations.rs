//! Runs the integrations in temporary folders: the GitHub Action, the pre-commit hook, and the examples for GitLab and Argo CD
//! in `webhook-server/README.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use anyhow::{Context as _, ensure};
use conformance::folder::Folder;
use conformance::{ignored, process, root, tools};
use libtest_mimic::Trial;
use serde_json::Value;

const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
const BAD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostNetwork: true, containers: [{name: c}]}\n";

fn main() -> ExitCode {
    process::main(|| {
        let trial = |name: &str, run: fn() -> anyhow::Result<()>| {
            Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
        };
        let hook = match tools::find("pre-commit", "pip install pre-commit") {
            Ok(_) => trial("the_hook_rejects_a_commit", hook),
            Err(reason) => ignored("the_hook_rejects_a_commit", &reason),
        };
        let plugin = match ["kustomize", "kubectl"].iter().find_map(|tool| tools::find(tool, "").ok()) {
            Some(_) => trial("the_argo_cd_plugin_renders_or_fails", plugin),
            None => {
                ignored("the_argo_cd_plugin_renders_or_fails", "neither kustomize nor kubectl is on the PATH")
            }
        };
        vec![
            trial("the_action_annotates_and_fails", action),
            trial("the_gitlab_job_writes_its_report", job),
            hook,
            plugin,
        ]
    })
}

/// Creates a folder with a `pratique` executable for the PATH.
fn place(name: &str) -> anyhow::Result<Folder> {
    let place = Folder::new(name);
    let own = std::env::current_exe()?;
    let script = format!("#!/bin/sh\nexec '{}' --as-pratique \"$@\"\n", own.display());
    let program = place.file("bin/pratique", script);
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(place)
}

/// The PATH, with the executables of the folder first.
fn path(place: &Folder) -> String {
    format!("{}:{}", place.0.join("bin").display(), std::env::var("PATH").unwrap_or_default())
}

/// Runs the steps of the action in a folder, as a runner does: each script in bash, with the inputs in its environment.
fn run_action(place: &Folder, inputs: &[(&str, &str)]) -> anyhow::Result<Output> {
    let file = root().join(".github/actions/check/action.yml");
    let action = conformance::yaml(&std::fs::read_to_string(&file)?)?.remove(0);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let defaults = action["inputs"].as_object().context("it has inputs")?.iter();
    let mut values: BTreeMap<String, String> =
        defaults.map(|(name, input)| (name.clone(), text(&input["default"]).unwrap_or_default())).collect();
    for (name, value) in inputs {
        ensure!(values.insert((*name).to_owned(), (*value).to_owned()).is_some(), "unknown input {name}");
    }
    let mut last = None;
    for step in action["runs"]["steps"].as_array().context("it has steps")? {
        ensure!(step["shell"] == "bash", "{step}");
        let script = step["run"].as_str().context("it runs something")?;
        ensure!(!script.contains("${{"), "an input is part of a script: {script}");
        // A runner starts `bash` with these options.
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]);
        command.current_dir(&place.0).env("PATH", path(place));
        command.env("GITHUB_ACTION_PATH", file.parent().context("a folder")?);
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let input = value.strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}"));
            let input = input.and_then(|input| values.get(input));
            command.env(name, input.with_context(|| format!("{name}: {value}"))?);
        }
        let output = command.output()?;
        if !output.status.success() {
            return Ok(output);
        }
        last = Some(output);
    }
    last.context("there was a step")
}

fn action() -> anyhow::Result<()> {
    let place = place("action")?;
    std::fs::write(place.0.join("good.yaml"), GOOD)?;
    std::fs::write(place.0.join("bad.yaml"), BAD)?;
    let output = run_action(&place, &[("paths", "good.yaml")])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run_action(&place, &[("paths", "good.yaml bad.yaml"), ("sarif", "report.sarif")])?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("::error file=bad.yaml,line=4,col="), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(place.0.join("report.sarif"))?)?;
    ensure!(report["version"] == "2.1.0", "{report}");
    // Inputs are data, and must not run as a script.
    let output = run_action(&place, &[("paths", "good.yaml"), ("config", "$(touch pwned); x")])?;
    ensure!(output.status.code() == Some(2) && !place.0.join("pwned").exists(), "{:?}", output.status);
    Ok(())
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let identity =
        ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output()?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// `pre-commit try-repo` clones this repository, and runs its hook on another.
fn hook() -> anyhow::Result<()> {
    let place = place("hook")?;
    let hooks = place.0.join("hooks");
    std::fs::create_dir_all(&hooks)?;
    std::fs::copy(root().join(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml"))?;
    git(&hooks, &["init", "--quiet"])?;
    git(&hooks, &["add", "."])?;
    git(&hooks, &["commit", "--quiet", "--message", "hooks"])?;
    let work = place.0.join("work");
    std::fs::create_dir_all(&work)?;
    git(&work, &["init", "--quiet"])?;
    let run = |text: &str| -> anyhow::Result<Output> {
        std::fs::write(work.join("x.yaml"), text)?;
        git(&work, &["add", "."])?;
        let mut command = Command::new(tools::find("pre-commit", "").map_err(anyhow::Error::msg)?);
        command.args(["try-repo", "--all-files"]).arg(&hooks).arg("pratique-check");
        command.current_dir(&work).env("PATH", path(&place)).env("PRE_COMMIT_HOME", place.0.join("cache"));
        Ok(command.output()?)
    };
    let output = run(GOOD)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let output = run(BAD)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!output.status.success() && text.contains("spec.hostNetwork: must not be true"), "{text}");
    Ok(())
}

/// The YAML block of the README that contains this text.
fn written(holds: &str) -> anyhow::Result<Value> {
    let page = std::fs::read_to_string(root().join("webhook-server/README.md"))?;
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block =
        blocks.into_iter().find(|block| block.contains(holds)).context("the README must contain it")?;
    Ok(conformance::yaml(block)?.remove(0))
}

fn job() -> anyhow::Result<()> {
    let place = place("job")?;
    let script = written("junit: pratique.xml")?["pratique"]["script"][0].clone();
    let run = |text: &str| -> anyhow::Result<Output> {
        place.file("manifests/x.yaml", text);
        let mut command = Command::new("sh");
        command.args(["-ec", script.as_str().context("it runs something")?]);
        Ok(command.current_dir(&place.0).env("PATH", path(&place)).output()?)
    };
    ensure!(run(GOOD)?.status.success(), "it fails for an admitted object");
    ensure!(run(BAD)?.status.code() == Some(1), "it does not fail for a denied object");
    let report = std::fs::read_to_string(place.0.join("pratique.xml"))?;
    ensure!(report.contains("<failure") && report.contains("spec.hostNetwork"), "{report}");
    Ok(())
}

fn plugin() -> anyhow::Result<()> {
    let place = place("plugin")?;
    if tools::find("kustomize", "").is_err() {
        let shim = place.file("bin/kustomize", "#!/bin/sh\nexec kubectl kustomize \"$2\"\n");
        std::fs::set_permissions(shim, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    let generate = written("kind: ConfigManagementPlugin")?["spec"]["generate"].clone();
    let mut words = Vec::new();
    for part in ["command", "args"] {
        let part = generate[part].as_array().context("it runs something")?;
        words.extend(part.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    let (program, arguments) = words.split_first().context("it runs something")?;
    let config = place.file("policies.yaml", "policies:\n- name: pod-security-standards\n");
    place.file("app/kustomization.yaml", "resources: [x.yaml]\nnamePrefix: shop-\n");
    let run = |text: &str| -> anyhow::Result<(bool, String, String)> {
        place.file("app/x.yaml", text);
        let mut command = Command::new(program);
        command.args(arguments).current_dir(place.0.join("app"));
        let output = command.env("PATH", path(&place)).env("PRATIQUE_CONFIG", &config).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    };
    let (succeeds, built, text) = run(GOOD)?;
    ensure!(succeeds && built.contains("name: shop-x") && built.starts_with("apiVersion"), "{built} {text}");
    let (succeeds, built, text) = run(BAD)?;
    ensure!(!succeeds && built.is_empty(), "something would be deployed: {built}");
    ensure!(text.contains("spec.hostNetwork: must not be true"), "{text}");
    Ok(())
}
