//! Tests of the reports of `pratique check`, in every format.

use std::path::Path;
use std::process::{Command, Stdio};

use conformance::folder::Folder;
use conformance::measure::{mib, wait_and_peak};
use conformance::process::pratique;
use conformance::{root, tools};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::{expect, run, text};

/// The formats, and the extensions of their golden files.
const FORMS: [(&str, &str); 5] =
    [("human", "txt"), ("json", "json"), ("sarif", "sarif"), ("junit", "xml"), ("github", "github.txt")];
const INPUT: &str = "tests/cli/reports/shop.yaml";

fn check(form: &str, more: &[&str]) -> std::process::Output {
    let arguments = ["check", "--config", "tests/cli/reports/policies.yaml", "--output", form, INPUT];
    run(&[&arguments[..], more].concat())
}

/// Compares each format with its golden file, byte for byte.
pub(crate) fn reports_match_the_golden_files() -> Result<(), Failed> {
    for (form, end) in FORMS {
        let output = check(form, &[]);
        expect(&output, 1)?;
        let out = text(&output.stdout);
        let golden = root().join(format!("tests/cli/reports/golden.{end}"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &out)?;
        }
        let wanted = std::fs::read_to_string(&golden)?;
        assert_eq!(out, wanted, "{}: set BLESS=1 to update it, and review the diff", golden.display());
    }
    Ok(())
}

/// The human format fits into 80 columns, unless names or files are longer.
pub(crate) fn people_read_80_columns() -> Result<(), Failed> {
    let out = text(&check("human", &[]).stdout);
    assert!(!out.contains('\x1b'), "no color in a pipe");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(out.contains("      | \u{20}     hostNetwork: true # undocumented\n"), "{out}");
    assert!(out.contains("      | \u{20}                  ^^^^\n"), "{out}");
    Ok(())
}

fn json(form: &str, more: &[&str]) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&check(form, more).stdout)?)
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// All formats contain the same findings.
pub(crate) fn all_formats_agree() -> Result<(), Failed> {
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
        "names must be escaped"
    );
    Ok(())
}

/// Validates SARIF with the schema that OASIS published.
pub(crate) fn sarif_matches_its_schema() -> Result<(), Failed> {
    let schema = std::fs::read_to_string(root().join("tests/cli/schemas/sarif-2.1.0.json"))?;
    // One of its patterns has an unescaped bracket, which strict validators reject.
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

/// Validates JUnit XML with the schema that Jenkins uses.
pub(crate) fn junit_matches_the_surefire_schema() -> Result<(), Failed> {
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

/// Accepted findings do not fail, even if they move. New findings fail, and findings that no longer occur are reported.
pub(crate) fn a_baseline_accepts_known_findings() -> Result<(), Failed> {
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
        text(&output.stderr).contains("accepted findings that no longer occur: 1;"),
        "{}",
        text(&output.stderr)
    );
    // A worse value in the same field is a new finding.
    folder.file("shop.yaml", manifest.replace("SYS_TIME", "SYS_ADMIN"));
    let output = check(&["--baseline", accepted]);
    expect(&output, 1)?;
    assert!(text(&output.stdout).contains("must not add `SYS_ADMIN`"), "{}", text(&output.stdout));
    // The same problem in a second container is a new finding.
    let two = "      - {name: two, image: two, securityContext: {privileged: true}}\n---\napiVersion: v1\nkind: Pod";
    folder.file("shop.yaml", manifest.replacen("---\napiVersion: v1\nkind: Pod", two, 1));
    expect(&check(&["--baseline", accepted]), 1)?;
    let wrong = folder.file("wrong.txt", "nothing of the kind\n");
    let output = check(&["--baseline", wrong.to_str().ok_or("UTF-8")?]);
    expect(&output, 2)?;
    assert!(text(&output.stderr).contains("wrong.txt:1: must be a line that"), "{}", text(&output.stderr));
    Ok(())
}

/// Read errors are annotated at their location, and special characters in names are escaped.
pub(crate) fn errors_have_locations() -> Result<(), Failed> {
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
    assert!(!text(&output.stdout).contains('\u{fffe}'), "XML 1.0 does not allow this character");
    Ok(())
}

pub(crate) fn fail_on_warn_exits_1() -> Result<(), Failed> {
    let folder = Folder::new("warn");
    let manifest = std::fs::read_to_string(root().join(INPUT))?;
    let cache = manifest.split("---\n").last().ok_or("it is there")?;
    let file = folder.file("cache.yaml", cache);
    let file = file.to_str().ok_or("UTF-8")?;
    let check = |more: &[&str]| run(&[&["check", "--policy", "exporter-sidecar", file][..], more].concat());
    expect(&check(&[]), 0)?;
    expect(&check(&["--fail-on", "warn"]), 1)
}

/// 2 MB with 10,000 findings need about as much memory as 2 MB without findings, in every format. In memory, these findings would take
/// 20 MiB.
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
        (0..1000).map(pod).collect::<String>()
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
        assert!(with < without + 8.0, "{form}: {with:.0} MiB, without findings {without:.0}");
    }
    let report = peak(&bad, "json").and_then(|_| Ok(std::fs::read_to_string(folder.0.join("report"))?))?;
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(list(&report, "verdicts").map(|row| list(row, "denials").count()).sum::<usize>(), 10_000);
    Ok(())
}
