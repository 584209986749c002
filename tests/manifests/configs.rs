//! Checks the configuration files in ConfigMaps without the programs that read them.

use std::collections::BTreeSet;

use conformance::root;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::none;
use crate::set::{items, keys, text};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("configs::falco_rules_are_valid", falco),
        Trial::test("configs::mysql_options_exist_in_its_version", mysql),
        Trial::test("configs::collectors_push_to_loki", logs),
    ]
}

fn read(path: &str) -> Result<String, Failed> {
    std::fs::read_to_string(root().join("manifests").join(path))
        .map_err(|error| format!("{path}: {error}").into())
}

fn documents(path: &str) -> Result<Value, Failed> {
    Ok(conformance::yaml(&read(path)?).map_err(|error| format!("{path}: {error}"))?.remove(0))
}

/// Falco's rule language (falco.org, "Rules"): the required members of each item, and the lists and macros of ours
/// that conditions reference.
fn falco() -> Result<(), Failed> {
    const PRIORITIES: [&str; 8] =
        ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFORMATIONAL", "DEBUG"];
    let items_of = documents("platform/security/falco/rules.yaml")?;
    let mut problems = Vec::new();
    let (mut defined, mut conditions, mut rules) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for item in items(&items_of) {
        let (needed, name): (&[&str], &str) = match () {
            () if item["rule"].is_string() => {
                (&["rule", "desc", "condition", "output", "priority", "tags"], text(item, "/rule"))
            }
            () if item["macro"].is_string() => (&["macro", "condition"], text(item, "/macro")),
            () if item["list"].is_string() => (&["list", "items"], text(item, "/list")),
            () => (&["required_engine_version"], "required_engine_version"),
        };
        if keys(item).collect::<BTreeSet<_>>() != needed.iter().copied().collect() {
            problems.push(format!("{name}: must have {needed:?}"));
        }
        if item["rule"].is_string() {
            if !PRIORITIES.contains(&text(item, "/priority")) {
                problems.push(format!("{name}: {}: not a valid priority", item["priority"]));
            }
            rules.insert(name);
            conditions.push(text(item, "/condition"));
        } else {
            defined.insert(name);
            conditions.extend(item["condition"].as_str());
        }
    }
    for condition in conditions {
        let words = condition.split(|c: char| !c.is_alphanumeric() && c != '_');
        let ours: BTreeSet<&str> = words.filter(|word| word.starts_with("pratique_")).collect();
        problems.extend(ours.difference(&defined).map(|word| format!("{word}: no list or macro found")));
        if condition.matches('(').count() != condition.matches(')').count() {
            problems.push(format!("{condition}: parentheses do not match"));
        }
    }
    for subject in ["Escalation tool", "became root", "Database file read", "Service account token"] {
        assert!(rules.iter().any(|rule| rule.contains(subject)), "there must be a rule about: {subject}");
    }
    none(problems)
}

/// Options that MySQL 8.4 no longer accepts (its "Options and Variables Removed").
fn mysql() -> Result<(), Failed> {
    const REMOVED: [&str; 12] = [
        "default_authentication_plugin",
        "expire_logs_days",
        "log_slave_updates",
        "master_info_repository",
        "relay_log_info_repository",
        "slave_parallel_workers",
        "skip_slave_start",
        "binlog_transaction_dependency",
        "transaction_write_set_extraction",
        "have_ssl",
        "avoid_temporal_upgrade",
        "old_style_user_limits",
    ];
    let mut options = 0;
    for file in ["common", "primary", "replica"] {
        let text = read(&format!("data/mysql/config/{file}.cnf"))?;
        assert!(text.contains("\n[mysqld]\n"), "{file}.cnf must have a [mysqld] section");
        for line in text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty()) {
            let (option, value) =
                line.split_once('=').ok_or_else(|| format!("{file}.cnf: {line}: no value"))?;
            assert!(!value.trim().is_empty(), "{file}.cnf: {line}: no value");
            options += 1;
            let option = option.trim().replace('-', "_").to_lowercase();
            assert!(
                !REMOVED.iter().any(|removed| option.starts_with(removed)),
                "{file}.cnf: {option} does not exist in 8.4"
            );
        }
    }
    assert!(options >= 12, "{options} options");
    Ok(())
}

fn logs() -> Result<(), Failed> {
    let loki = documents("platform/logging/loki/loki.yaml")?;
    let port = loki["server"]["http_listen_port"].to_string();
    let push = format!("http://loki.logging.svc.cluster.local:{port}/loki/api/v1/push");
    let promtail = documents("platform/logging/promtail/promtail.yaml")?;
    assert_eq!(promtail["clients"][0]["url"], push);
    assert!(read("platform/logging/alloy/config.alloy")?.contains(&push));
    Ok(())
}
