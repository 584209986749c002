//! What `pratique connectivity` costs on 100 namespaces with 20 Deployments of 5 replicas each and 2,000 NetworkPolicies: the
//! whole process, its output included.

#[path = "input/world.rs"]
mod input;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conformance::process::release_binary;
use policy_core::{Arena, yaml};

const RUNS: usize = 7;

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
                document.decode(&arena).expect("it is YAML");
                arena.reset();
            }
        });
        println!("{:44} {:7.1} ms", "decode the YAML, and no more", ms(decode));
        let file = std::env::temp_dir().join(format!("pratique-bench-map-{}.yaml", std::process::id()));
        std::fs::write(&file, &text).expect("a file can be written");
        for form in ["text", "json", "svg"] {
            let (mut peak, mut lines) = (0, 0);
            let time = median(|| (peak, lines) = run(form, &file));
            let ratio = time.as_secs_f64() / decode.as_secs_f64();
            println!(
                "{:44} {:7.1} ms  {ratio:.2} times that  peak {:.0} MB  {lines} lines",
                format!("pratique connectivity --output {form}"),
                ms(time),
                peak as f64 / 1024.0
            );
        }
        drop(std::fs::remove_file(&file));
        println!();
    }
}

/// The highest memory of the process in KiB, and the lines that it writes.
fn run(form: &str, file: &std::path::Path) -> (u64, usize) {
    let mut command = Command::new(release_binary());
    command.args(["connectivity", "--output", form]).arg(file).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (pid, mut out) = (child.id(), child.stdout.take().expect("it is piped"));
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut bytes).expect("it can be read");
        bytes.iter().filter(|byte| **byte == b'\n').count()
    });
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(pid).unwrap_or_default());
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(status.code(), Some(0), "all can be read");
    (peak, reader.join().expect("it does not panic"))
}

fn median(mut run: impl FnMut()) -> Duration {
    run();
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let since = Instant::now();
            run();
            since.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
