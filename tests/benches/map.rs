//! Measures `pratique connectivity` for 100 namespaces with 20 Deployments of 5 replicas each, and 2,000
//! NetworkPolicies: the whole process, including its output.

#[path = "input/cluster.rs"]
mod input;

use std::process::{Command, Stdio};

use conformance::measure::{RUNS, median, mib, ms, wait_and_peak};
use conformance::process::dist_binary;
use policy_core::{Arena, yaml};

fn main() {
    for as_pods in [false, true] {
        let text = input::world(as_pods);
        let what = if as_pods { "10,000 Pods" } else { "2,000 Deployments" };
        println!(
            "map: {what}, 2,000 NetworkPolicies, {:.1} MB of YAML; medians of {RUNS} runs",
            text.len() as f64 / 1e6
        );
        let documents = yaml::documents(&text);
        let mut arena = Arena::new();
        let decode = median(|| {
            for document in &documents {
                document.decode(&arena).expect("the document is YAML");
                arena.reset();
            }
        });
        println!("{:44} {:7.1} ms", "only decode the YAML", ms(decode));
        let file = std::env::temp_dir().join(format!("pratique-bench-map-{}.yaml", std::process::id()));
        std::fs::write(&file, &text).expect("the file can be written");
        for form in ["text", "json", "svg"] {
            let (mut peak, mut lines) = (0, 0);
            let time = median(|| (peak, lines) = run(form, &file));
            let ratio = time.as_secs_f64() / decode.as_secs_f64();
            println!(
                "{:44} {:7.1} ms  {ratio:.2} times that  peak {:.0} MB  {lines} lines",
                format!("pratique connectivity --output {form}"),
                ms(time),
                mib(peak)
            );
        }
        drop(std::fs::remove_file(&file));
        println!();
    }
}

/// Returns the peak memory of the process in bytes, and the number of lines that it writes.
fn run(form: &str, file: &std::path::Path) -> (u64, usize) {
    let mut command = Command::new(dist_binary());
    command.args(["connectivity", "--output", form]).arg(file).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the process starts");
    let mut out = child.stdout.take().expect("standard output is piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut bytes).expect("the output can be read");
        bytes.iter().filter(|byte| **byte == b'\n').count()
    });
    let (status, peak) = wait_and_peak(&mut child).expect("the process ends");
    assert_eq!(status.code(), Some(0), "the exit status is 0");
    (peak, reader.join().expect("the reader does not panic"))
}
