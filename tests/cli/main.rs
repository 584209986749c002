//! Checks the contract of the command line: its output, its streams and its exit codes.

mod config;
mod explain;
mod origins;
mod render;
mod reports;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitCode, Output, Stdio};

use conformance::folder::Folder;
use conformance::process::{self, pratique};
use conformance::{ignored, root, trials};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

fn main() -> ExitCode {
    process::main(|| {
        let mut trials = trials![
            json_is_the_contract,
            exit_codes,
            every_finding_has_a_location,
            config::invalid_settings_are_named,
            config::a_config_file_chooses_policies,
            config::custom_pod_kinds_can_be_configured,
            config::exceptions_admit_until_they_expire,
            config::unused_exceptions_fail,
            standard_input_is_read,
            hostile_files_are_errors_with_a_location,
            colors_are_only_for_terminals,
            kustomizations_are_rendered_or_rejected,
            cases_of_users_are_run_and_blessed,
            explain::policies_are_described,
            render::render_applies_admission_changes,
            render::render_keeps_the_style_of_manifests,
            render::render_shows_what_differs,
            render::render_prints_nothing_on_errors,
            render::check_reports_missing_prerequisites,
            render::check_evaluates_pods_after_mutation,
            explain::policies_and_controls_are_explained,
            explain::completions_and_man_pages_cover_every_command,
            reports::reports_match_the_golden_files,
            reports::people_read_80_columns,
            reports::all_formats_agree,
            reports::sarif_matches_its_schema,
            reports::errors_have_locations,
            reports::a_baseline_accepts_known_findings,
            reports::fail_on_warn_exits_1,
            reports::reports_are_written_as_they_are_made,
            the_demo_denies_examples_and_admits_manifests,
            the_readme_shows_a_real_denial,
            unwritable_output_is_not_a_success,
            a_large_file_is_reported_in_order,
        ];
        let junit = trials![reports::junit_matches_the_surefire_schema];
        trials.extend(unless_missing(
            junit,
            conformance::tools::find("xmllint", "install libxml2-utils").map(drop),
        ));
        let builder =
            ["kustomize", "kubectl"].iter().find_map(|tool| conformance::tools::find(tool, "").ok());
        let origins = trials![
            origins::findings_point_to_source_files,
            origins::objects_in_one_file_are_distinguished,
            origins::explanations_point_to_source_files,
            origins::forged_origins_are_not_read,
        ];
        let missing = || "neither kustomize nor kubectl is on the PATH: install one".to_owned();
        trials.extend(unless_missing(origins, builder.map(drop).ok_or_else(missing)));
        trials
    })
}

/// The trials, or their names with the reason why they cannot run here.
fn unless_missing(trials: Vec<Trial>, tool: Result<(), String>) -> Vec<Trial> {
    match tool {
        Ok(()) => trials,
        Err(reason) => trials.iter().map(|trial| ignored(trial.name(), &reason)).collect(),
    }
}

const PRIVILEGED: &str = "apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
spec:
  containers:
  - name: web
    image: nginx
    securityContext:
      privileged: true
";

fn run(arguments: &[&str]) -> Output {
    pratique().args(arguments).current_dir(root()).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn expect(output: &Output, code: i32) -> Result<(), Failed> {
    if output.status.code() == Some(code) {
        return Ok(());
    }
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Err(format!("exit {:?}, not {code}\nstdout: {out}\nstderr: {err}", output.status.code()).into())
}

const BASELINE: &[&str] = &[
    "--policy",
    "pod-security-standards",
    "--set",
    r#"pod-security-standards={"level":"baseline","version":"v1.29"}"#,
];

fn check_baseline(more: &[&str]) -> Output {
    run(&[&["check"], BASELINE, more].concat())
}

fn json_is_the_contract() -> Result<(), Failed> {
    let folder = Folder::new("json");
    let file = folder.file("x.yaml", PRIVILEGED);
    let file = file.to_str().ok_or("a path is UTF-8")?;
    let output = check_baseline(&["--output", "json", file]);
    expect(&output, 1)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let wanted = json!({
        "verdicts": [{
            "policy": "pod-security-standards",
            "outcome": "deny",
            "source": {"file": file, "line": 11, "column": 7, "document": 1},
            "object": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web"},
            "denials": [{
                "field": "spec.containers[0].securityContext.privileged",
                "message": "must not be true",
                "control": "privileged",
                "line": 11,
                "column": 7,
            }],
            "warnings": [],
            "patch": [],
        }],
        "summary": {"objects": 1, "denied": 1, "warned": 0, "patched": 0},
    });
    if report != wanted {
        return Err(format!("{report:#}").into());
    }
    let output = check_baseline(&["--output", "json", "manifests/apps/shop/web/deployment.yaml"]);
    expect(&output, 0)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["verdicts"][0]["outcome"], "allow");
    assert_eq!(report["verdicts"][0]["source"]["line"], 3);
    assert_eq!(report["summary"], json!({"objects": 1, "denied": 0, "warned": 0, "patched": 0}));
    Ok(())
}

fn exit_codes() -> Result<(), Failed> {
    let folder = Folder::new("codes");
    let good = folder.file("good.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    let bad = folder.file("bad.yaml", PRIVILEGED);
    let broken = folder.file("broken.yaml", "a: [\n");
    let path = |path: &PathBuf| path.to_str().expect("a path is UTF-8").to_owned();
    expect(&run(&["check", &path(&good)]), 0)?;
    expect(&run(&["check", &path(&good), &path(&bad)]), 1)?;
    expect(&run(&["check", &path(&broken), &path(&bad)]), 2)?;
    for wrong in [
        &["check"][..],
        &["check", "no-such-file.yaml"],
        &["check", "--policy", "nope", "manifests"],
        &["check", "--config", "no-such-config.yaml", "manifests"],
        &["nope"],
        &["test", "no-such-folder"],
        &["policies", "nope"],
        &["serve", "--tls-cert", "x"],
        &["serve", "--listen", "0.0.0.0:0"],
        &["serve", "--tls-cert", "no.pem", "--tls-key", "no.pem"],
    ] {
        let output = run(wrong);
        expect(&output, 2)?;
        assert!(
            !output.stderr.is_empty() && output.stdout.is_empty(),
            "{wrong:?}: must print only to standard error"
        );
    }
    for help in [&["--help"][..], &["check", "--help"], &["--version"]] {
        expect(&run(help), 0)?;
    }
    Ok(())
}

fn every_finding_has_a_location() -> Result<(), Failed> {
    let folder = Folder::new("places");
    let two = format!(
        "# a comment\n{PRIVILEGED}---\n{}",
        PRIVILEGED.replace("privileged", "# hidden\n      privileged")
    );
    let file = folder.file("two.yaml", two);
    let output = check_baseline(&[file.to_str().ok_or("a path is UTF-8")?]);
    expect(&output, 1)?;
    let out = text(&output.stdout);
    for place in
        ["two.yaml\n  deny Pod shop/web", "\n    12:7: spec.containers[0]", "\n    25:7: spec.containers[0]"]
    {
        assert!(out.contains(place), "{place} in {out}");
    }
    assert!(out.contains("deny Pod shop/web"), "{out}");
    assert!(out.ends_with("2 objects, 2 evaluated: 2 denied, 0 warned, 0 patched\n"), "{out}");
    Ok(())
}

fn standard_input_is_read() -> Result<(), Failed> {
    let mut child = pratique()
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("it has a standard input")?.write_all(PRIVILEGED.as_bytes())?;
    let output = child.wait_with_output()?;
    expect(&output, 1)?;
    assert!(
        text(&output.stdout).starts_with("<standard input>\n  deny Pod shop/web (pod-security-standards)\n")
    );
    Ok(())
}

fn hostile_files_are_errors_with_a_location() -> Result<(), Failed> {
    let folder = Folder::new("hostile");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    let long = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {}}}\n", "x".repeat(10_000_000));
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("tab", b"a:\n\tb: 1\n".to_vec(), "tab.yaml:2:2: not readable as YAML: tabs disallowed"),
        ("twice", b"a: 1\na: 2\n".to_vec(), "duplicate key `a`"),
        ("bomb", bomb.into_bytes(), "more than 2000000 values"),
        ("deep", "[".repeat(1_000_000).into_bytes(), "recursion limit"),
        (
            "nul",
            b"apiVersion: v1\nkind: ConfigMap\n\0kind: Pod\n".to_vec(),
            "nul.yaml:3:1: not readable as YAML: character U+0000",
        ),
        ("latin1", b"a: caf\xe9\n".to_vec(), "line 1: not UTF-8"),
        ("utf16", b"\xff\xfea\0:\0".to_vec(), "not UTF-8"),
        (
            "values",
            b"replicas: 3\n".to_vec(),
            "values.yaml:1:1: not a Kubernetes object: apiVersion: must be set",
        ),
        (
            "kind",
            b"apiVersion: v1\nkind: [Pod]\n".to_vec(),
            "kind.yaml:2:1: not a Kubernetes object: kind: must be a string, is a list",
        ),
        ("tag", b"apiVersion: v1\nkind: !Kind Pod\n".to_vec(), "tag `!Kind`"),
        (
            "escape",
            b"apiVersion: v1\nkind: \"\\u001b[31mPod\"\nmetadata: 7\n".to_vec(),
            "metadata: must be an object",
        ),
        ("open", b"a: \"x\n".to_vec(), "open.yaml:"),
    ];
    for (name, bytes, reason) in cases {
        let file = folder.file(&format!("{name}.yaml"), bytes);
        let output = run(&["check", file.to_str().ok_or("a path is UTF-8")?]);
        expect(&output, 2)?;
        let err = text(&output.stderr);
        assert!(err.contains(reason), "{name}: {err}");
        assert!(!err.contains('\u{1b}'), "{name}: no escape reaches the terminal");
    }
    for (name, bytes, code) in [
        ("long", long.into_bytes(), 1),
        ("bom", format!("\u{feff}{PRIVILEGED}").into_bytes(), 1),
        ("crlf", PRIVILEGED.replace('\n', "\r\n").into_bytes(), 1),
        ("empty", Vec::new(), 0),
        ("comments", b"# nothing\n---\n# here\n".to_vec(), 0),
    ] {
        let file = folder.file(&format!("{name}.yaml"), bytes);
        let output = run(&["check", file.to_str().ok_or("a path is UTF-8")?]);
        expect(&output, code).map_err(|_| format!("{name}: {output:.200?}"))?;
    }
    Ok(())
}

fn colors_are_only_for_terminals() -> Result<(), Failed> {
    let folder = Folder::new("colour");
    let file = folder.file("x.yaml", PRIVILEGED);
    let check = |variable: Option<&str>| {
        let mut command = pratique();
        command.arg("check").arg(&file);
        if let Some(variable) = variable {
            command.env(variable, "1");
        }
        text(&command.output().expect("the command starts").stdout)
    };
    assert!(!check(None).contains('\u{1b}'), "no color in a pipe");
    assert!(check(Some("CLICOLOR_FORCE")).contains('\u{1b}'));
    assert!(!check(Some("NO_COLOR")).contains('\u{1b}'));
    Ok(())
}

fn kustomizations_are_rendered_or_rejected() -> Result<(), Failed> {
    let folder = Folder::new("kustomize");
    folder.file("app/kustomization.yaml", "resources: [x.yaml]\n");
    folder.file("app/x.yaml", PRIVILEGED);
    // A fake kustomize that prints its arguments, so that the test needs neither tool.
    let tool = folder.file("bin/kustomize", format!("#!/bin/sh\necho \"# $@\"\ncat <<'E'\n{PRIVILEGED}E\n"));
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let check = |path: &str| {
        pratique()
            .args(["check", "app"])
            .current_dir(&folder.0)
            .env("PATH", path)
            .output()
            .expect("it starts")
    };
    let bin = folder.0.join("bin");
    let output = check(&format!("{}:/bin:/usr/bin", bin.display()));
    expect(&output, 1)?;
    assert!(text(&output.stdout).contains("12:7: spec.containers[0]"), "{}", text(&output.stdout));
    let output = check("/nowhere");
    expect(&output, 2)?;
    assert!(
        text(&output.stderr).contains("neither kustomize nor kubectl is on the PATH"),
        "{}",
        text(&output.stderr)
    );
    Ok(())
}

fn cases_of_users_are_run_and_blessed() -> Result<(), Failed> {
    let folder = Folder::new("cases");
    let case = "# Ours.\nsettings: { level: baseline }\nobject:\n  apiVersion: v1\n  kind: Pod\n  spec: { hostPID: true, containers: [{ name: a }] }\n";
    let deny = folder.file("deny-host-pid.yaml", case);
    let path = folder.0.to_str().ok_or("a path is UTF-8")?.to_owned();
    let test =
        |more: &[&str]| run(&[&["test", path.as_str(), "--policy", "pod-security-standards"], more].concat());
    expect(&test(&[]), 1)?;
    expect(&test(&["--bless"]), 0)?;
    expect(&test(&[]), 0)?;
    let blessed = std::fs::read_to_string(&deny)?;
    assert!(blessed.starts_with(case) && blessed.contains("- field: spec.hostPID\n"), "{blessed}");
    std::fs::write(&deny, blessed.replace("must not be true", "may be true"))?;
    expect(&test(&[]), 1)?;
    folder.file("allow-host-pid.yaml", case);
    let output = test(&["--bless"]);
    expect(&output, 1)?;
    assert!(text(&output.stdout).contains("the file name expects allow, the verdict is deny"), "{output:?}");
    expect(&run(&["test", "policies"]), 0)?;
    Ok(())
}

/// A full disk behind standard error must not change the exit code, and a reader that closes the pipe must not see a success.
fn unwritable_output_is_not_a_success() -> Result<(), Failed> {
    let folder = Folder::new("unwritable");
    let file = folder.file("x.yaml", PRIVILEGED);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full");
    let denied = pratique().arg("check").arg(&file).stdout(Stdio::null()).stderr(full()?).status()?;
    assert_eq!(denied.code(), Some(1));
    let missing = pratique().args(["check", "missing.yaml"]).stderr(full()?).status()?;
    assert_eq!(missing.code(), Some(2));
    let mut child =
        pratique().arg("check").arg(&file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    drop(child.stdout.take());
    let code = child.wait()?.code();
    assert!(matches!(code, Some(1 | 141)), "{code:?}");
    Ok(())
}

fn the_readme_shows_a_real_denial() -> Result<(), Failed> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let (_, block) = readme.split_once("```text\n$ pratique ").ok_or("no command with its output")?;
    let (block, _) = block.split_once("```").ok_or("the block has no end")?;
    let (command, wanted) = block.split_once('\n').ok_or("no output")?;
    let arguments: Vec<&str> = command.split(' ').collect();
    let output = pratique().args(arguments).current_dir(root().join("tests/cli/readme")).output()?;
    expect(&output, 1)?;
    assert_eq!(text(&output.stdout), wanted);
    Ok(())
}

fn the_demo_denies_examples_and_admits_manifests() -> Result<(), Failed> {
    let output = run(&["demo"]);
    expect(&output, 0)?;
    let out = text(&output.stdout);
    let (examples, out) =
        out.split_once("The manifests of this repository").ok_or("the examples come first")?;
    for denied in ["Pod shop/debug", "Deployment shop/agent", "NetworkPolicy shop/allow-all"] {
        assert!(examples.contains(&format!("denied {denied}\n    ")), "{examples}");
    }
    assert!(out.contains("Deployment shop/web") && out.contains("0 denied"), "{out}");
    for (set, exporter) in [("mysql/mysql", "mysqld"), ("mongodb/mongodb", "mongodb")] {
        let (_, after) =
            out.split_once(&format!("pods of StatefulSet {set} ")).ok_or("the pods are sent too")?;
        let added = after.lines().nth(1).unwrap_or_default();
        assert!(
            added.contains(&format!("container {exporter}-exporter"))
                || !webhook_server::sources::can_build(),
            "{added}"
        );
    }
    let folder = Folder::new("demo");
    let file = folder.file("x.yaml", PRIVILEGED);
    let output = run(&["demo", file.to_str().ok_or("a path is UTF-8")?]);
    expect(&output, 1)?;
    let out = text(&output.stdout);
    assert!(out.contains("spec.containers[0].securityContext.privileged: must not be true"), "{out}");
    Ok(())
}

fn a_large_file_is_reported_in_order() -> Result<(), Failed> {
    let folder = Folder::new("large");
    let documents: String = (0..20_000)
        .map(|i| format!("---\n{}", PRIVILEGED.replace("name: web", &format!("name: web-{i}"))))
        .collect();
    let file = folder.file("large.yaml", &documents);
    let output = check_baseline(&["--output", "json", file.to_str().ok_or("a path is UTF-8")?]);
    expect(&output, 1)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["summary"]["denied"], 20_000);
    let rows = report["verdicts"].as_array().ok_or("verdicts are a list")?;
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["source"]["document"], i + 1);
        assert_eq!(row["source"]["line"], 12 * i + 12);
    }
    Ok(())
}
