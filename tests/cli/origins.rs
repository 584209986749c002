//! Checks that findings in the rendered output of a kustomization point to its source files.

use conformance::folder::Folder;
use conformance::process::pratique;
use libtest_mimic::Failed;
use serde_json::Value;

use super::{expect, text};

/// Two objects. The name of the first is part of the name of the second.
const BASE: &str = "# The shop.
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  hostNetwork: true # undocumented
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

/// A prefix, a namespace, and three kinds of patches: a new field, a changed value, and a changed order.
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

/// Pods with these namespaces and names. Each has six lines, and a finding in the fifth.
fn pods(names: &[(&str, &str)]) -> String {
    let pod = |(namespace, name): &(&str, &str)| {
        let namespace =
            if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}{namespace}}}\nspec: {{hostNetwork: true,\n  containers: [{{name: a}}]}}\n"
        )
    };
    names.iter().map(pod).collect()
}

/// If several objects of a file are candidates for a rendered object, the right one is reported.
pub(super) fn objects_in_one_file_are_distinguished() -> Result<(), Failed> {
    let folder = Folder::new("apart");
    for (number, (names, around, wanted)) in [
        (vec![("n1", "p"), ("n2", "p"), ("", "p")], "", vec![5, 11, 17]),
        (vec![("", "web"), ("", "db")], "namePrefix: web-", vec![5, 11]),
        (vec![("", "x"), ("", "frontend")], "namePrefix: frontend-", vec![5, 11]),
        (vec![("", "p1"), ("", "p11"), ("", "p111"), ("", "p2")], "nameSuffix: \"1\"", vec![5, 11, 17, 23]),
        (vec![("", "a"), ("", "web"), ("", "web-a")], "namePrefix: a-\nnameSuffix: -web-a", vec![5, 11, 17]),
        (vec![("", "a"), ("", "b")], "namespace: shop", vec![5, 11]),
    ]
    .into_iter()
    .enumerate()
    {
        folder.file(&format!("{number}/pods.yaml"), pods(&names));
        folder.file(&format!("{number}/kustomization.yaml"), format!("resources: [pods.yaml]\n{around}\n"));
        let output = pratique()
            .args(["check", &number.to_string(), "--policy", "pod-security-standards", "--output", "json"])
            .current_dir(&folder.0)
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let mut lines = Vec::new();
        for row in report["verdicts"].as_array().ok_or("there are rows")? {
            assert_eq!(row["source"]["file"], format!("{number}/pods.yaml"), "{row}");
            let denials = row["denials"].as_array().ok_or("there are denials")?.iter();
            let own: Vec<&Value> = denials.filter(|denial| denial["field"] == "spec.hostNetwork").collect();
            lines.push(own[0]["line"].as_u64().ok_or("a line")?);
        }
        lines.sort_unstable();
        assert_eq!(lines, wanted, "{names:?} {around}");
    }
    Ok(())
}

/// Rules that allow a connection are reported at their source lines, even if two policies have the same name and a patch swaps
/// two rules.
pub(super) fn explanations_point_to_source_files() -> Result<(), Failed> {
    let workload = |name: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, \
             template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}\n"
        )
    };
    let policy = |namespace: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: allow, namespace: {namespace}}}\nspec:\n  \
             podSelector: {{matchLabels: {{app: b}}}}\n  ingress:\n  - from: [{{podSelector: {{matchLabels: {{app: z}}}}}}]\n  \
             - from: [{{podSelector: {{matchLabels: {{app: a}}}}}}]\n"
        )
    };
    let folder = Folder::new("rules");
    folder.file("set/workloads.yaml", workload("a") + &workload("b"));
    folder.file("set/policies.yaml", policy("other") + &policy("shop"));
    let patch = "{op: move, from: /spec/ingress/1, path: /spec/ingress/0}";
    folder.file(
        "set/kustomization.yaml",
        format!(
            "resources: [workloads.yaml, policies.yaml]\npatches:\n- target: {{kind: NetworkPolicy}}\n  patch: |\n    - {patch}\n"
        ),
    );
    let mut command = pratique();
    command.args(["connectivity", "set", "--explain", "shop/a", "shop/b", "80"]).current_dir(&folder.0);
    let output = command.output()?;
    expect(&output, 0)?;
    let output = text(&output.stdout);
    assert!(output.contains("isolated by NetworkPolicy shop/allow (set/policies.yaml:11:1)"), "{output}");
    assert!(output.contains("shop/allow ingress[0] (set/policies.yaml:18:5)"), "{output}");
    Ok(())
}

/// A kustomization can claim any origin for its objects. Only manifests are read, and nothing hangs.
pub(super) fn forged_origins_are_not_read() -> Result<(), Failed> {
    let folder = Folder::new("hostile");
    let secret = folder
        .file("secret.txt", pods(&[("", "p")]).replace("hostNetwork: true,", "hostNetwork: true, # secret"));
    folder.file("app/pods.yaml", pods(&[("", "p")]));
    for path in ["/dev/zero", "/dev/stdin", &secret.display().to_string(), "/nowhere", "."] {
        let up = "../".repeat(16);
        let kustomization = serde_json::json!({"resources": ["pods.yaml"],
            "commonAnnotations": {"config.kubernetes.io/origin": format!("path: {up}{path}\n")}});
        folder.file("app/kustomization.yaml", kustomization.to_string());
        let output = pratique().args(["check", "app"]).current_dir(&folder.0).output()?;
        expect(&output, 1)?;
        let report = text(&output.stdout);
        assert!(report.contains("spec.hostNetwork") && !report.contains("secret"), "{report}");
    }
    Ok(())
}

pub(super) fn findings_point_to_source_files() -> Result<(), Failed> {
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
        // The source has another value here.
        ("eu-web", "spec.containers[0].securityContext.procMount", at(13, 7)),
        ("eu-web", "spec.hostNetwork", at(7, 3)),
        // The source does not have the field: the enclosing object is reported.
        ("eu-web", "spec.hostPID", at(6, 1)),
        // The source does not have the first container: the list is reported. The second has another index in the source.
        ("eu-web-two", "spec.containers[0].securityContext.privileged", at(21, 3)),
        ("eu-web-two", "spec.containers[1].securityContext.privileged", at(21, 58)),
        ("eu-web-two", "spec.hostIPC", at(20, 3)),
    ];
    assert_eq!(found, wanted);

    let output = check("human");
    let report = text(&output.stdout);
    for shown in [
        "base/all.yaml\n",
        "    7:3: spec.hostNetwork: must not be true",
        "      |   hostNetwork: true # undocumented\n",
        "      | rendered: hostPID: true\n",
        "      | rendered: procMount: Unmasked\n",
    ] {
        assert!(report.contains(shown), "`{shown}` is not in {report}");
    }
    // File names are absolute or relative to the working directory, like the path of the folder.
    let from = |folder: std::path::PathBuf, named: std::path::PathBuf| {
        let output = pratique().arg("check").arg(named).current_dir(folder).output().expect("it starts");
        text(&output.stdout)
    };
    let report = from("/".into(), folder.0.join("overlay"));
    let file = folder.0.canonicalize()?.join("base/all.yaml").display().to_string();
    assert!(report.lines().any(|line| line == file), "{report}");
    let report = from(folder.0.join("overlay"), ".".into());
    assert!(report.lines().any(|line| line == "../base/all.yaml"), "{report}");
    Ok(())
}
