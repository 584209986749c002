//! Measures `pratique check` on 10 MB of YAML: the whole process, and its parts.

#[path = "input/manifests.rs"]
mod input;

use std::process::{Command, Stdio};
use std::time::Duration;

use conformance::measure::{RUNS, median, mib, ms, wait_and_peak};
use conformance::process::dist_binary;
use policy_catalog::POLICIES;
use policy_core::{AdmissionPhase, Arena, ConfiguredPolicy, Field, NoCluster, Request, admit, yaml};

fn main() {
    let text = input::manifests();
    let megabytes = text.len() as f64 / 1e6;
    println!(
        "check: {megabytes:.1} MB of YAML, 5,000 Deployments, 500 of them denied; medians of {RUNS} runs\n"
    );

    let parser = median(|| {
        let mut events = 0usize;
        for event in saphyr_parser::Parser::new_from_str(&text) {
            event.expect("the text is YAML");
            events += 1;
        }
        assert!(events > 100_000, "the whole text is parsed");
    });
    let split = median(|| assert_eq!(yaml::documents(&text).len(), 5000));
    let documents = yaml::documents(&text);
    let mut arena = Arena::new();
    let decode = median(|| {
        for document in &documents {
            document.decode(&arena).expect("the document is YAML");
            arena.reset();
        }
    });
    let configure = |entry: &policy_core::PolicyDefinition| ConfiguredPolicy {
        metadata: entry.metadata,
        policy: (entry.configure)("").expect("every policy has defaults"),
    };
    let policies: Vec<ConfiguredPolicy> =
        POLICIES.iter().filter(|entry| !entry.metadata.needs_cluster()).map(configure).collect();
    let evaluate = median(|| {
        let mut denied = 0;
        for document in &documents {
            let value =
                document.decode(&arena).expect("the document is YAML").expect("the document is not empty");
            let request =
                Request::create(Field::root(value, &arena), "default").expect("the value is an object");
            let verdicts = admit(&policies, &request, &NoCluster, AdmissionPhase::Mutating);
            denied += usize::from(!verdicts.allowed());
            arena.reset();
        }
        assert_eq!(denied, 500);
    });
    let rate = |time: Duration| megabytes / time.as_secs_f64();
    let row = |what: &str, time: Duration| println!("{what:44} {:7.1} ms  {:6.0} MB/s", ms(time), rate(time));
    println!("on one thread, in this process");
    row("saphyr-parser alone, events discarded", parser);
    row("split into documents", split);
    row("decode (split text, parse, build the tree)", decode);
    row("decode and evaluate", evaluate);
    println!("  the parser's share of that: {:.0} %", 100.0 * parser.as_secs_f64() / evaluate.as_secs_f64());

    let file = std::env::temp_dir().join(format!("pratique-bench-{}.yaml", std::process::id()));
    std::fs::write(&file, &text).expect("the file can be written");
    let binary = dist_binary();
    println!("\nthe whole process, all processors, positions included");
    for output in ["human", "json"] {
        let mut peak = 0;
        let time = median(|| {
            let mut child = Command::new(&binary)
                .args(["check", "--output", output])
                .arg(&file)
                .stdout(Stdio::null())
                .spawn()
                .expect("the process starts");
            let status;
            (status, peak) = wait_and_peak(&mut child).expect("the process ends");
            assert_eq!(status.code(), Some(1), "500 Deployments are denied");
        });
        let share = parser.as_secs_f64() / time.as_secs_f64();
        println!(
            "{:44} {:7.1} ms  {:6.0} MB/s  peak {:.0} MB  {share:.2} times the speed of the parser alone on one thread",
            format!("pratique check --output {output}"),
            ms(time),
            rate(time),
            mib(peak),
        );
    }
    drop(std::fs::remove_file(&file));
}
