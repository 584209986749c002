//! Measures the webhook over TLS, compared with three routes of a bare axum server over the same TLS, in one run.
//!
//! `raw` reads the body and drops it; `skim` is a typed scan that keeps only the uid; `parse` builds a
//! `serde_json::Value`. Both servers run in their own processes, so that their CPU time can be measured. This process
//! generates the load over HTTP/1.1 with keep-alive, as an API server does.

#[path = "input/review.rs"]
mod input;

use std::path::Path;

use conformance::measure::{self, mib};
use conformance::servers::{self, ROUND, ROUNDS, Round, Servers, load, median};

fn main() {
    servers::main(measure);
}

fn measure(folder: &Path) {
    let Servers { webhook, bare, connector, .. } = Servers::start(folder);
    let review = input::review();
    let memory = |line: &str| mib(measure::memory(webhook.pid(), line).expect("the webhook is running"));
    println!(
        "serve: a review of {} bytes, TLS 1.3, HTTP/1.1 keep-alive, client and server on the same processors",
        review.len()
    );
    println!(
        "       medians of {ROUNDS} rounds of {} s, one route after the other within each round",
        ROUND.as_secs()
    );
    println!(
        "ready after {:.0} ms, idle {:.1} MiB\n",
        webhook.ready_after.as_secs_f64() * 1e3,
        memory("VmRSS")
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("  c  route          req/s   p50 ms   p99 ms   server CPU us/req");
    for connections in [1, 16, 64] {
        let routes = [(&webhook, "/validate"), (&bare, "/raw"), (&bare, "/skim"), (&bare, "/parse")];
        let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); routes.len()];
        for _ in 0..ROUNDS {
            for ((process, path), rounds) in routes.iter().zip(&mut rounds) {
                rounds.push(runtime.block_on(load(process, &connector, connections, path, &review)));
            }
        }
        let medians: Vec<Round> = rounds.iter().map(|rounds| median(rounds)).collect();
        for ((_, path), round) in routes.iter().zip(&medians) {
            println!(
                "{connections:3}  {path:10} {:9.0} {:8.3} {:8.3} {:10.1}",
                round.rate, round.p50, round.p99, round.cpu
            );
        }
        let [ours, raw, skim, parse] = medians.as_slice() else { panic!("four routes") };
        for (name, other) in [("raw", raw), ("skim", skim), ("parse", parse)] {
            println!(
                "     of {name:6} {:5.2} of the requests/s, {:5.2} by server CPU",
                ours.rate / other.rate,
                other.cpu / ours.cpu
            );
        }
    }
    println!("\nafter the test: {:.1} MiB, peak {:.1} MiB", memory("VmRSS"), memory("VmHWM"));
}
