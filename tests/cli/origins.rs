//! Does a finding in what was built name the file and line that somebody wrote?

use conformance::folder::Folder;
use conformance::process::pratique;
use libtest_mimic::Failed;
use serde_json::Value;

use super::{expect, text};

/// Two objects, the name of one of which is in the other's.
const BASE: &str = "# The shop.
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  hostNetwork: true # why, nobody knows
  containers:
  - name: web
    image: nginx
    securityContext:
      privileged: true
      procMount: Default
---
apiVersion: v1
kind: Pod
metadata:
  name: web-two
spec:
  hostIPC: true
  containers: [{name: a, image: nginx, securityContext: {privileged: true}}]
";

/// A prefix, a namespace, and what three kinds of patches do: a field that was not there, another value, and another order.
const OVERLAY: &str = r#"
namePrefix: eu-
namespace: shop
resources: [../base]
configMapGenerator:
- name: generated
  literals: [a=b]
patches:
- target: {name: web$}
  patch: |
    - {op: add, path: /spec/hostPID, value: true}
    - {op: replace, path: /spec/containers/0/securityContext/procMount, value: Unmasked}
- target: {name: web-two}
  patch: |
    - {op: add, path: /spec/containers/0, value: {name: first, image: nginx, securityContext: {privileged: true}}}
"#;

pub(super) fn findings_are_where_they_were_written() -> Result<(), Failed> {
    let folder = Folder::new("origins");
    folder.file("base/kustomization.yaml", "resources: [all.yaml]\n");
    folder.file("base/all.yaml", BASE);
    folder.file("overlay/kustomization.yaml", OVERLAY);
    let check = |form: &str| {
        let mut command = pratique();
        command.args(["check", "overlay", "--policy", "pod-security-standards", "--output", form]);
        command.args(["--set", r#"pod-security-standards={"level": "baseline"}"#]);
        command.current_dir(&folder.0).output().expect("it starts")
    };
    let output = check("json");
    expect(&output, 1)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let rows = report["verdicts"].as_array().ok_or("there are rows")?;
    let mut found = Vec::new();
    for row in rows {
        let (source, name) = (&row["source"], &row["object"]["name"]);
        assert_eq!(source["file"], "base/all.yaml", "{row}");
        assert_eq!(source["document"], if *name == "eu-web" { 1 } else { 2 }, "{row}");
        for denial in row["denials"].as_array().ok_or("there are denials")? {
            let field = denial["field"].as_str().ok_or("a path")?;
            let place = (denial["line"].as_u64(), denial["column"].as_u64());
            found.push((name.as_str().ok_or("a name")?, field, place));
        }
    }
    found.sort_unstable();
    let at = |line, column| (Some(line), Some(column));
    let wanted = [
        ("eu-web", "spec.containers[0].securityContext.privileged", at(12, 7)),
        // Another value is written there.
        ("eu-web", "spec.containers[0].securityContext.procMount", at(13, 7)),
        ("eu-web", "spec.hostNetwork", at(7, 3)),
        // It is not written at all: what is around it.
        ("eu-web", "spec.hostPID", at(6, 1)),
        // Another item is written at that number: their list.
        ("eu-web-two", "spec.containers[0].securityContext.privileged", at(21, 3)),
        ("eu-web-two", "spec.containers[1].securityContext.privileged", at(21, 3)),
        ("eu-web-two", "spec.hostIPC", at(20, 3)),
    ];
    assert_eq!(found, wanted);

    let output = check("human");
    let report = text(&output.stdout);
    for shown in [
        "base/all.yaml\n",
        "    7:3: spec.hostNetwork: must not be true",
        "      |   hostNetwork: true # why, nobody knows\n",
        "      | built: hostPID: true\n",
        "      | built: procMount: Unmasked\n",
    ] {
        assert!(report.contains(shown), "`{shown}` is not in {report}");
    }
    // What is given from elsewhere is named in full.
    let mut elsewhere = pratique();
    let output = elsewhere.arg("check").arg(folder.0.join("overlay")).current_dir("/").output()?;
    let file = folder.0.canonicalize()?.join("base/all.yaml");
    let report = text(&output.stdout);
    assert!(report.contains(&file.strip_prefix("/")?.display().to_string()), "{report}");
    Ok(())
}
