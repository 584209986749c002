//! Tests of `render`, and of `check` for pods after mutation.

use conformance::folder::Folder;
use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::{expect, run, text};

/// A database, with comments in all places where they are easily lost.
const DATABASE: &str = "# a database
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: data } # in flow
spec:
  selector: { matchLabels: { app: db } }
  template:
    metadata:
      labels:
        app: db # the label
      # requests an exporter
      annotations:
        pratique.dev/inject-exporter: auto
        pratique.dev/exporter-secret: db/password
    spec:
      securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }
      containers:
      - image: mysql:8.4 # the server
        name: db
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
---
# nothing to do here
apiVersion: v1
kind: ConfigMap
metadata: { name: x,   namespace: data }
";

pub(crate) fn render_applies_admission_changes() -> Result<(), Failed> {
    let folder = Folder::new("render");
    let file = folder.file("db.yaml", DATABASE);
    let output = run(&["render", file.to_str().ok_or("a path is UTF-8")?]);
    expect(&output, 0)?;
    let rendered = text(&output.stdout);
    // All original lines are still there, in the same order.
    let mut lines = rendered.lines();
    for line in DATABASE.lines() {
        assert!(lines.any(|rendered| rendered == line), "{line} is gone: {rendered}");
    }
    for added in
        ["      initContainers:", "      - name: mysqld-exporter", "        pratique.dev/scrape: \"true\""]
    {
        assert!(rendered.lines().any(|line| line == added), "{added}: {rendered}");
    }
    // Rendering the result again changes nothing.
    let again = folder.file("rendered.yaml", &rendered);
    let again = again.to_str().ok_or("a path is UTF-8")?;
    let second = run(&["render", again]);
    assert_eq!(text(&second.stdout), rendered);
    let report: Value = serde_json::from_slice(&run(&["check", "--output", "json", again]).stdout)?;
    assert_eq!(report["summary"]["patched"], 0, "{report}");
    Ok(())
}

/// Manifests in different styles can be rendered, and rendering the result again changes nothing.
pub(crate) fn render_keeps_the_style_of_manifests() -> Result<(), Failed> {
    let second = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: second }\n";
    let pod = |spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  annotations:\n    pratique.dev/inject-exporter: redis\nspec:\n{spec}"
        )
    };
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: { name: j }\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - { name: j, image: j:1, ports: [{ containerPort: 9121 }] }\n";
    let many: String = (0..300)
        .map(|i| format!("- apiVersion: v1\n  kind: Pod\n  metadata: {{ name: p{i}, annotations: {{ pratique.dev/inject-exporter: redis }} }}\n  spec:\n    containers:\n    - {{ name: db, image: redis:8 }}\n"))
        .collect();
    let folder = Folder::new("written");
    for (name, manifests) in [
        ("flow-item-last", pod("  containers:\n  - {name: db, image: redis:7}\n") + second),
        ("flow-item-first", pod("  initContainers:\n  - {name: i, image: \"x:1\"}\n  containers: [{name: db, image: redis:7}]\n") + second),
        ("comment-on-the-dash", pod("  containers:\n  - # a-b\n    name: db\n    image: redis:7\n") + second),
        ("dos", pod("  containers:\n  - name: db\n    image: redis:7\n").replace('\n', "\r\n")),
        ("no-last-line-break", pod("  containers:\n  - name: db\n    image: redis:7")),
        ("ends-with-dots", pod("  containers:\n  - {name: db, image: redis:7}\n") + "...\n" + second),
        ("kept-lines", pod("  containers:\n  - name: db\n    image: redis:7\n    args:\n    - |+\n      x\n\n\n") + second),
        ("unnamed-port", pod("  containers:\n  - name: db\n    image: redis:7\n    ports:\n    - name:\n      containerPort: 9100\n") + second),
        ("job-without-metadata", job.to_owned() + second),
        ("json", "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"\\ud83d\\ude00\",\"annotations\":{\"pratique.dev/inject-exporter\":\"redis\"}},\"spec\":{\"containers\":[{\"name\":\"db\"}]}}".to_owned()),
        ("list", format!("apiVersion: v1\nkind: List\nitems:\n{many}")),
    ] {
        let render = |file: &str, text_of: &str| -> Result<String, Failed> {
            let file = folder.file(file, text_of);
            let output = run(&["render", file.to_str().ok_or("a path is UTF-8")?]);
            expect(&output, 0).map_err(|error| format!("{name}: {error:?}"))?;
            Ok(String::from_utf8(output.stdout)?)
        };
        let first = render("a.yaml", &manifests)?;
        assert!(first.contains("-exporter") || name == "job-without-metadata", "{name}: {first}");
        assert!(first.contains("pratique.dev/scrape"), "{name}: {first}");
        assert_eq!(render("b.yaml", &first)?, first, "{name}");
        let line_ends = |text: &str| (text.matches("\r\n").count(), text.matches('\n').count());
        let (dos, all) = line_ends(&first);
        assert!(dos == 0 || dos == all || (name == "dos" && dos + 1 >= all), "{name}: {first:?}");
    }
    Ok(())
}

pub(crate) fn render_shows_what_differs() -> Result<(), Failed> {
    let folder = Folder::new("diff");
    let file = folder.file("db.yaml", DATABASE);
    let output = run(&["render", "--diff", file.to_str().ok_or("a path is UTF-8")?]);
    expect(&output, 0)?;
    let diff = text(&output.stdout);
    assert!(diff.starts_with("--- ") && diff.contains("\n+      initContainers:\n"), "{diff}");
    assert!(
        !diff.lines().any(|line| line.starts_with('-') && !line.starts_with("---")),
        "no line must be removed: {diff}"
    );
    let plain = folder.file("plain.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n");
    let output = run(&["render", "--diff", plain.to_str().ok_or("a path is UTF-8")?]);
    assert_eq!(text(&output.stdout), "");
    Ok(())
}

pub(crate) fn render_prints_nothing_on_errors() -> Result<(), Failed> {
    let folder = Folder::new("render-wrong");
    let forged = DATABASE
        .replace("name: db\n        securityContext", "name: mysqld-exporter\n        securityContext");
    let aliased = "a: &t { metadata: { annotations: { pratique.dev/inject-exporter: redis } }, spec: { containers: [{ name: r, image: redis }] } }\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: r }\nspec: { template: *t }\n";
    for (name, text_of, code, reason) in [
        ("forged.yaml", forged.as_str(), 1, "spec.containers[0].name: must not be `mysqld-exporter`"),
        ("broken.yaml", "a: [", 2, "broken.yaml:2:1: not readable as YAML"),
        ("aliased.yaml", aliased, 2, "cannot be written here"),
    ] {
        let file = folder.file(name, text_of);
        let output = run(&["render", file.to_str().ok_or("a path is UTF-8")?]);
        expect(&output, code)?;
        assert_eq!(text(&output.stdout), "", "{name}");
        assert!(text(&output.stderr).contains(reason), "{name}: {}", text(&output.stderr));
    }
    Ok(())
}

pub(crate) fn check_reports_missing_prerequisites() -> Result<(), Failed> {
    let service = "---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: data, labels: { app: db } }
spec: { selector: { app: db }, ports: [{ name: metrics, port: 9104, targetPort: metrics-9104 }] }
";
    let monitor = "---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: { name: db, namespace: data }
spec: { selector: { matchLabels: { app: db } }, endpoints: [{ port: metrics }] }
";
    let deny = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny, namespace: data }
spec: { podSelector: {} }
";
    let allow = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: data }
spec: { podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 9100, endPort: 9200 }] }] }
";
    let pod_monitor = "---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: { name: db, namespace: monitoring }
spec: { namespaceSelector: { matchNames: [data] }, selector: { matchLabels: { app: db } }, podMetricsEndpoints: [{ port: metrics-9104 }] }
";
    let folder = Folder::new("beside");
    for (beside, wanted) in [
        ("".to_owned(), vec!["no Service exposes the exporter's port 9104, and no PodMonitor scrapes it"]),
        (
            service.to_owned(),
            vec!["no ServiceMonitor scrapes the exporter: none selects port `metrics` of the Service `db`"],
        ),
        (format!("{service}{monitor}"), vec![]),
        (service.replace("metrics-9104", "9104") + monitor, vec![]),
        (service.replace("metrics-9104", "9105") + monitor, vec!["no Service exposes"]),
        (pod_monitor.to_owned(), vec![]),
        (pod_monitor.replace("[data]", "[other]"), vec!["no Service exposes"]),
        (
            format!("{service}{monitor}{deny}"),
            vec!["no NetworkPolicy allows Prometheus to reach the exporter's port 9104"],
        ),
        (format!("{service}{monitor}{deny}{allow}"), vec![]),
        (
            format!("{service}{monitor}{deny}{}", allow.replace("endPort: 9200", "endPort: 9103")),
            vec!["no NetworkPolicy"],
        ),
        // Prometheus is in another namespace.
        (
            format!("{service}{monitor}{deny}{}", allow.replace("namespaceSelector", "podSelector")),
            vec!["no NetworkPolicy"],
        ),
        // An object without a namespace is in the default namespace, which is another one here.
        (format!("{service}{}", monitor.replace(", namespace: data", "")), vec!["no ServiceMonitor"]),
    ] {
        let file = folder.file("db.yaml", format!("{DATABASE}{beside}"));
        let output = run(&["check", "--output", "json", file.to_str().ok_or("a path is UTF-8")?]);
        expect(&output, 0)?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let rows = report["verdicts"].as_array().ok_or("there are rows")?;
        let row =
            rows.iter().find(|row| row["policy"] == "exporter-sidecar").ok_or("the pods are evaluated")?;
        assert_eq!((&row["of"], &row["outcome"]), (&json!("pods"), &json!("patch")), "{row}");
        let warnings: Vec<&str> =
            row["warnings"].as_array().into_iter().flatten().filter_map(|w| w["message"].as_str()).collect();
        assert_eq!(warnings.len(), wanted.len(), "{beside}: {warnings:?}");
        assert!(
            warnings.iter().zip(&wanted).all(|(warning, wanted)| warning.contains(wanted)),
            "{beside}: {warnings:?}"
        );
        // The warning is reported in the pod template.
        for warning in row["warnings"].as_array().into_iter().flatten() {
            assert_eq!(
                (&warning["field"], &warning["line"]),
                (&json!("spec.template.metadata.annotations"), &json!(12))
            );
        }
    }
    Ok(())
}

/// Pods are evaluated after mutation, and a denial of their pod template is reported only once.
pub(crate) fn check_evaluates_pods_after_mutation() -> Result<(), Failed> {
    let folder = Folder::new("faulty");
    let file = folder.file("db.yaml", DATABASE);
    let file = file.to_str().ok_or("a path is UTF-8")?;
    let policies = "policies:\n- name: exporter-sidecar\n- name: pod-security-standards\n";
    expect(&run(&["check", "--config", folder.file("p.yaml", policies).to_str().ok_or("UTF-8")?, file]), 0)?;
    let privileged = DATABASE.replace(
        "name: db\n        securityContext: {",
        "name: db\n        securityContext: { privileged: true,",
    );
    let output =
        run(&["check", "--output", "json", folder.file("bad.yaml", privileged).to_str().ok_or("UTF-8")?]);
    expect(&output, 1)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let denials = report["verdicts"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|row| row["denials"].as_array())
        .flatten();
    assert_eq!(denials.count(), 1, "{report}");
    Ok(())
}
