//! The reports of `pratique check`, in every form.

use std::path::Path;
use std::process::{Command, Stdio};

use conformance::folder::Folder;
use conformance::measure::{mib, wait_and_peak};
use conformance::process::pratique;
use conformance::{root, tools};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::{expect, run, text};

/// The forms, and what their golden files end with.
const FORMS: [(&str, &str); 5] =
    [("human", "txt"), ("json", "json"), ("sarif", "sarif"), ("junit", "xml"), ("github", "github.txt")];
const INPUT: &str = "tests/cli/reports/shop.yaml";

fn check(form: &str, more: &[&str]) -> std::process::Output {
    let arguments = ["check", "--config", "tests/cli/reports/policies.yaml", "--output", form, INPUT];
    run(&[&arguments[..], more].concat())
}

/// What each form says, byte for byte.
pub(crate) fn every_form_is_as_it_was() -> Result<(), Failed> {
    for (form, end) in FORMS {
        let output = check(form, &[]);
        expect(&output, 1)?;
        let out = text(&output.stdout);
        let golden = root().join(format!("tests/cli/reports/golden.{end}"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &out)?;
        }
        let wanted = std::fs::read_to_string(&golden)?;
        assert_eq!(out, wanted, "{}: BLESS=1 writes it; read the difference", golden.display());
    }
    Ok(())
}

/// For people: readable in 80 columns, as long as names and files are not longer themselves.
pub(crate) fn people_read_80_columns() -> Result<(), Failed> {
    let out = text(&check("human", &[]).stdout);
    assert!(!out.contains('\x1b'), "no colour where nobody looks");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(out.contains("      | \u{20}     hostNetwork: true # why, nobody knows\n"), "{out}");
    assert!(out.contains("      | \u{20}                  ^^^^\n"), "{out}");
    Ok(())
}

fn json(form: &str, more: &[&str]) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&check(form, more).stdout)?)
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// The same findings are in each form.
pub(crate) fn all_forms_say_the_same() -> Result<(), Failed> {
    let report = json("json", &[])?;
    let of = |key: &str| list(&report, "verdicts").map(|row| list(row, key).count()).sum::<usize>();
    let (denials, warnings, excepted) = (of("denials"), of("warnings"), of("excepted"));
    assert!(denials >= 4 && warnings > 0 && excepted == 1, "{denials}, {warnings}, {excepted}");
    let sarif = json("sarif", &[])?;
    let results: Vec<&Value> = list(&sarif["runs"][0], "results").collect();
    let (suppressed, open): (Vec<&Value>, Vec<&Value>) =
        results.into_iter().partition(|result| !result["suppressions"].is_null());
    let level = |level: &str| open.iter().filter(|result| result["level"] == level).count();
    assert_eq!((level("error"), level("warning"), suppressed.len()), (denials, warnings, excepted));
    let rules: Vec<&Value> = list(&sarif["runs"][0]["tool"]["driver"], "rules").collect();
    for result in open.iter().chain(&suppressed) {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
    }
    let github = text(&check("github", &[]).stdout);
    let lines = |start: &str| github.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("::error "), lines("::warning ")), (denials, warnings), "{github}");
    let junit = text(&check("junit", &[]).stdout);
    let denied = list(&report, "verdicts").filter(|row| row["outcome"] == "deny").count();
    assert_eq!(junit.matches("<failure ").count(), denied, "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), list(&report, "verdicts").count(), "{junit}");
    assert!(
        !junit.contains("<script>")
            && !github.contains("::error file=tests/cli/reports/shop.yaml,line=36,col=3,title=Pod shop/a,"),
        "what is in a name is a name"
    );
    Ok(())
}

/// By the schema of the standard, as it was published by OASIS.
pub(crate) fn sarif_is_what_the_standard_says() -> Result<(), Failed> {
    let schema = std::fs::read_to_string(root().join("tests/cli/schemas/sarif-2.1.0.json"))?;
    // Where one of its patterns has a bracket that is not escaped, strict readers see no pattern.
    let schema: Value = serde_json::from_str(&schema.replace("{2}]?$", "{2}\\\\]?$"))?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    let folder = Folder::new("sarif");
    let broken = folder.file("broken.yaml", "a: [\n");
    for report in [json("sarif", &[])?, json("sarif", &[broken.to_str().ok_or("UTF-8")?])?] {
        let faults: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new());
    }
    let report = json("sarif", &[broken.to_str().ok_or("UTF-8")?])?;
    assert_eq!(report["runs"][0]["invocations"][0]["executionSuccessful"], false);
    Ok(())
}

/// By the schema that Jenkins reads such files with.
pub(crate) fn junit_is_what_jenkins_reads() -> Result<(), Failed> {
    let xmllint = tools::find("xmllint", "install libxml2-utils")?;
    let folder = Folder::new("junit");
    let broken = folder.file("broken.yaml", "a: [\n");
    for more in [&[][..], &[broken.to_str().ok_or("UTF-8")?]] {
        let report = folder.file("report.xml", check("junit", more).stdout);
        let schema = root().join("tests/cli/schemas/junit-10.xsd");
        let output =
            Command::new(&xmllint).arg("--noout").arg("--schema").arg(schema).arg(report).output()?;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    Ok(())
}

/// What is accepted does not fail, wherever it has moved; what is new does, and what is gone is said.
pub(crate) fn a_baseline_accepts_what_is_known() -> Result<(), Failed> {
    let folder = Folder::new("baseline");
    let manifest = std::fs::read_to_string(root().join(INPUT))?;
    let file = folder.file("shop.yaml", &manifest);
    let file = file.to_str().ok_or("UTF-8")?;
    let accepted = folder.file("accepted.txt", "");
    let accepted = accepted.to_str().ok_or("UTF-8")?;
    let check = |more: &[&str]| {
        let arguments = ["check", "--config", "tests/cli/reports/policies.yaml", file];
        run(&[&arguments[..], more].concat())
    };
    expect(&check(&[]), 1)?;
    expect(&check(&["--write-baseline", accepted]), 0)?;
    let output = check(&["--baseline", accepted]);
    expect(&output, 0)?;
    assert!(text(&output.stdout).contains("findings in the baseline"), "{}", text(&output.stdout));
    folder.file("shop.yaml", format!("# moved\n\n\n{manifest}"));
    expect(&check(&["--baseline", accepted, "--fail-on", "warn"]), 0)?;
    folder.file("shop.yaml", manifest.replace("hostPID: true", "hostIPC: true"));
    let output = check(&["--baseline", accepted]);
    expect(&output, 1)?;
    let out = text(&output.stdout);
    assert!(out.contains("spec.hostIPC: ") && !out.contains("spec.template.spec.hostNetwork"), "{out}");
    assert!(
        text(&output.stderr).contains("of what the baseline accepts, 1 is gone"),
        "{}",
        text(&output.stderr)
    );
    // A worse value at the same place is new.
    folder.file("shop.yaml", manifest.replace("SYS_TIME", "SYS_ADMIN"));
    let output = check(&["--baseline", accepted]);
    expect(&output, 1)?;
    assert!(text(&output.stdout).contains("must not add `SYS_ADMIN`"), "{}", text(&output.stdout));
    // A second container with the same fault is new.
    let two = "      - {name: two, image: two, securityContext: {privileged: true}}\n---\napiVersion: v1\nkind: Pod";
    folder.file("shop.yaml", manifest.replacen("---\napiVersion: v1\nkind: Pod", two, 1));
    expect(&check(&["--baseline", accepted]), 1)?;
    let wrong = folder.file("wrong.txt", "nothing of the kind\n");
    let output = check(&["--baseline", wrong.to_str().ok_or("UTF-8")?]);
    expect(&output, 2)?;
    assert!(text(&output.stderr).contains("wrong.txt:1: must be a line that"), "{}", text(&output.stderr));
    Ok(())
}

/// What cannot be read is annotated where it stands, and its name breaks no form.
pub(crate) fn errors_have_their_places() -> Result<(), Failed> {
    let folder = Folder::new("errors");
    let file =
        folder.file("a: b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: \"x\\ufffe\"}\nspec: [\n");
    let file = file.to_str().ok_or("UTF-8")?;
    let output = |form: &str| -> Result<String, Failed> {
        let output = run(&["check", "--output", form, file]);
        expect(&output, 2)?;
        Ok(text(&output.stdout))
    };
    let encoded = file.replace(':', "%3A");
    let github = output("github")?;
    assert!(github.contains(&format!("::error file={encoded},line=5,col=1,title=pratique::")), "{github}");
    let sarif: Value = serde_json::from_str(&output("sarif")?)?;
    let notification = &sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"][0];
    let region = &notification["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&5.into(), &1.into()), "{notification}");
    folder.file("a: b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: \"x\\ufffe\"}\nspec: {hostPID: true, containers: [{name: c}]}\n");
    let output = run(&["check", "--output", "junit", file]);
    expect(&output, 1)?;
    assert!(!text(&output.stdout).contains('\u{fffe}'), "XML 1.0 has no such character");
    Ok(())
}

pub(crate) fn warnings_fail_where_they_are_to() -> Result<(), Failed> {
    let folder = Folder::new("warn");
    let manifest = std::fs::read_to_string(root().join(INPUT))?;
    let cache = manifest.split("---\n").last().ok_or("it is there")?;
    let file = folder.file("cache.yaml", cache);
    let file = file.to_str().ok_or("UTF-8")?;
    let check = |more: &[&str]| run(&[&["check", "--policy", "exporter-sidecar", file][..], more].concat());
    expect(&check(&[]), 0)?;
    expect(&check(&["--fail-on", "warn"]), 1)
}

/// 10 MB with 50,000 findings take no more memory than 10 MB with none, in any form.
pub(crate) fn reports_are_written_as_they_are_made() -> Result<(), Failed> {
    let folder = Folder::new("stream");
    let container = |bad: bool| {
        let bad = if bad { "securityContext: {privileged: true}, " } else { "" };
        format!("{{name: c, {bad}image: c, env: [{{name: PAD, value: {}}}]}}", "x".repeat(120))
    };
    let manifest = |bad: bool| {
        let containers = vec![container(bad); 10].join(", ");
        let pod = |i: usize| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{i}}}\nspec: {{containers: [{containers}]}}\n---\n"
            )
        };
        (0..5000).map(pod).collect::<String>()
    };
    let (bad, good) = (folder.file("bad.yaml", manifest(true)), folder.file("good.yaml", manifest(false)));
    let peak = |file: &Path, form: &str| -> Result<f64, Failed> {
        let out = std::fs::File::create(folder.file("report", ""))?;
        let mut child = pratique()
            .args(["check", "--policy", "pod-security-standards", "--output", form])
            .args(["--set", "pod-security-standards={\"level\":\"baseline\"}"])
            .arg(file)
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(mib(wait_and_peak(&mut child)?.1))
    };
    let without = peak(&good, "human")?;
    for (form, _) in FORMS {
        let with = peak(&bad, form)?;
        assert!(with < without + 24.0, "{form}: {with:.0} MiB, without findings {without:.0}");
    }
    let report = peak(&bad, "json").and_then(|_| Ok(std::fs::read_to_string(folder.0.join("report"))?))?;
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(list(&report, "verdicts").map(|row| list(row, "denials").count()).sum::<usize>(), 50_000);
    Ok(())
}
