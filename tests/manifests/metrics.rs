//! Checks the custom metrics, and with promtool that the rules compute the expected values.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conformance::folder::Folder;
use conformance::{ignored, root};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::set::{self, EnvironmentSet, items, namespace_of, text};
use crate::{none, tool};
use conformance::tools::HOW;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials =
        vec![Trial::test("metrics::autoscalers_and_the_adapter_have_the_same_four_metrics", made)];
    match tool("promtool", HOW) {
        Err(reason) => trials.push(ignored("metrics::promtool", &reason)),
        Ok(_) => trials.extend([
            Trial::test("metrics::promtool_check_rules", check_rules),
            Trial::test("metrics::promtool_check_config", check_config),
            Trial::test("metrics::promtool_test_rules", test_rules),
            Trial::test("metrics::dashboard_queries_are_valid_promql", dashboards),
        ]),
    }
    trials
}

/// The four custom metrics, each with its metric type in the autoscaler.
const CUSTOM: [(&str, &str); 4] = [
    ("http_requests_per_second", "pods"),
    ("process_cpu_usage", "pods"),
    ("http_request_duration_p95_seconds", "object"),
    ("database_query_latency_seconds", "object"),
];

/// The adapter's configuration, from the generated ConfigMap that its Deployment mounts.
fn adapter(set: &EnvironmentSet) -> Value {
    let map = set.of("ConfigMap").find(|map| text(map, "/metadata/name").starts_with("prometheus-adapter-"));
    let map = map.expect("no ConfigMap of the adapter found");
    conformance::yaml(text(map, "/data/config.yaml")).expect("the configuration is YAML").remove(0)
}

/// Only the names are checked here. The `metric-path` policy checks that each metric has a source and is scraped.
fn made() -> Result<(), Failed> {
    for set in set::environments() {
        assert_eq!(
            custom_metrics(set),
            CUSTOM.into_iter().collect(),
            "{}: the autoscalers must use exactly these four metrics",
            set.name
        );
        let adapter = adapter(set);
        let made: BTreeSet<&str> = items(&adapter["rules"]).map(|rule| text(rule, "/name/as")).collect();
        assert_eq!(
            made,
            CUSTOM.into_iter().map(|(name, _)| name).collect(),
            "{}: the wrong metrics in the adapter",
            set.name
        );
    }
    Ok(())
}

/// The custom metrics of all autoscalers, each with its type.
fn custom_metrics(set: &EnvironmentSet) -> BTreeSet<(&str, &str)> {
    let mut custom_metrics = BTreeSet::new();
    for scaler in set.of("HorizontalPodAutoscaler") {
        for metric in items(&scaler["spec"]["metrics"]) {
            for kind in ["pods", "object", "external"] {
                let metric = text(metric, &format!("/{kind}/metric/name"));
                if !metric.is_empty() {
                    custom_metrics.insert((metric, kind));
                }
            }
        }
    }
    custom_metrics
}

/// The rules of a set as Prometheus rule files, one per PrometheusRule.
fn rule_files(folder: &Folder, set: &EnvironmentSet) -> Vec<PathBuf> {
    let write = |rule: &Value| {
        folder.file(&format!("{}.rules.yaml", text(rule, "/metadata/name")), rule["spec"].to_string())
    };
    set.of("PrometheusRule").map(write).collect()
}

fn promtool(arguments: &[&str], files: &[PathBuf], folder: &Path) -> Result<String, Failed> {
    let output = tool("promtool", HOW)?.args(arguments).args(files).current_dir(folder).output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text.into()) }
}

fn check_rules() -> Result<(), Failed> {
    for set in set::environments() {
        let folder = Folder::new("rules");
        let files = rule_files(&folder, set);
        assert_eq!(files.len(), set.of("PrometheusRule").count());
        assert!(!files.is_empty(), "the environment has rules");
        promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &files, &folder.0)?;
    }
    Ok(())
}

fn test_rules() -> Result<(), Failed> {
    let folder = Folder::new("tests");
    rule_files(&folder, &set::all()[0]);
    let mut tests = Vec::new();
    for test in std::fs::read_dir(root().join("tests/manifests/rules"))? {
        let test = test?.path();
        let copy = folder.0.join(test.file_name().ok_or("the test file has a name")?);
        std::fs::copy(&test, &copy)?;
        tests.push(copy);
    }
    assert_eq!(tests.len(), 4, "there must be one test file per PrometheusRule");
    promtool(&["test", "rules"], &tests, &folder.0)?;
    // Every alert must fire in a test, and every recorded series must have a value.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for test in &tests {
        let file = conformance::yaml(&std::fs::read_to_string(test)?)?.remove(0);
        for case in items(&file["tests"]) {
            let fired =
                items(&case["alert_rule_test"]).filter(|alert| items(&alert["exp_alerts"]).next().is_some());
            seen.extend(fired.map(|alert| text(alert, "/alertname").to_owned()));
            let valued =
                items(&case["promql_expr_test"]).filter(|test| items(&test["exp_samples"]).next().is_some());
            seen.extend(valued.map(|test| text(test, "/expr").to_owned()));
        }
    }
    let mut problems = Vec::new();
    let groups = set::all()[0].of("PrometheusRule").flat_map(|rule| items(&rule["spec"]["groups"]));
    for rule in groups.flat_map(|group| items(&group["rules"])) {
        let (alert, record) = (text(rule, "/alert"), text(rule, "/record"));
        let is_seen = match record {
            "" => seen.contains(alert),
            _ => seen.iter().any(|expression| expression.contains(record)),
        };
        if !is_seen {
            problems.push(format!("{alert}{record}: no test in tests/manifests/rules covers it"));
        }
    }
    none(problems)
}

/// Checks the scrape configuration that the operator would generate from the monitors, as far as it can be wrong:
/// intervals, relabelings, rules.
fn check_config() -> Result<(), Failed> {
    for set in set::environments() {
        let folder = Folder::new("config");
        let rules = rule_files(&folder, set);
        let mut jobs = Vec::new();
        for (kind, endpoints, role) in
            [("ServiceMonitor", "endpoints", "endpointslice"), ("PodMonitor", "podMetricsEndpoints", "pod")]
        {
            for monitor in set.of(kind) {
                for (i, endpoint) in items(&monitor["spec"][endpoints]).enumerate() {
                    jobs.push(job(monitor, endpoint, role, i));
                }
            }
        }
        assert!(jobs.len() >= 10, "{} jobs", jobs.len());
        let config = json!({"rule_files": rules, "scrape_configs": jobs});
        let file = folder.0.join("prometheus.yaml");
        std::fs::write(&file, config.to_string())?;
        promtool(&["check", "config", "--lint=all", "--lint-fatal"], &[file], &folder.0)?;
    }
    Ok(())
}

fn job(monitor: &Value, endpoint: &Value, role: &str, number: usize) -> Value {
    let relabelings = |list: &Value| -> Vec<Value> {
        let renamed = |item: &Value| {
            let rename = |key: &str| match key {
                "sourceLabels" => "source_labels".to_owned(),
                "targetLabel" => "target_label".to_owned(),
                other => other.to_owned(),
            };
            let members = item.as_object().into_iter().flatten();
            members.map(|(key, value)| (rename(key), value.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        items(list).map(renamed).collect()
    };
    let mut job = json!({
        "job_name": format!("{}/{}/{number}", namespace_of(monitor), text(monitor, "/metadata/name")),
        "kubernetes_sd_configs": [{"role": role, "namespaces": {"names": [namespace_of(monitor)]}}],
        "relabel_configs": relabelings(&endpoint["relabelings"]),
        "metric_relabel_configs": relabelings(&endpoint["metricRelabelings"]),
    });
    for (key, name) in
        [("interval", "scrape_interval"), ("scrapeTimeout", "scrape_timeout"), ("path", "metrics_path")]
    {
        if let Some(value) = endpoint[key].as_str() {
            job[name] = value.into();
        }
    }
    job
}

fn dashboards() -> Result<(), Failed> {
    let set = &set::all()[0];
    let dashboards =
        set.get("ConfigMap", "monitoring", "dashboards").ok_or("no ConfigMap of dashboards found")?;
    assert_eq!(dashboards["metadata"]["labels"]["grafana_dashboard"], "1");
    let mut expressions = Vec::new();
    for (file, text) in dashboards["data"].as_object().into_iter().flatten() {
        let dashboard: Value = serde_json::from_str(text.as_str().unwrap_or_default())?;
        let ids: BTreeSet<String> =
            items(&dashboard["panels"]).map(|panel| panel["id"].to_string()).collect();
        assert_eq!(ids.len(), items(&dashboard["panels"]).count(), "{file}: panels must have unique ids");
        for target in items(&dashboard["panels"]).flat_map(|panel| items(&panel["targets"])) {
            if target["datasource"]["type"] == "prometheus" {
                expressions.push(json!({"record": "x", "expr": target["expr"]}));
            }
        }
    }
    assert!(expressions.len() >= 25, "{} expressions", expressions.len());
    // As rules, so that promtool parses all expressions in one call.
    let folder = Folder::new("dashboards");
    let groups: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(i, rule)| json!({"name": i.to_string(), "rules": [rule]}))
        .collect();
    let file = folder.0.join("expressions.yaml");
    std::fs::write(&file, json!({"groups": groups}).to_string())?;
    promtool(&["check", "rules", "--lint=none"], &[file], &folder.0)?;
    Ok(())
}
