//! Measures the time and memory of functions and processes.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// The number of measured runs of [`median`].
pub const RUNS: usize = 7;

/// The median time of [`RUNS`] runs, after one warm-up run.
pub fn median(mut run: impl FnMut()) -> Duration {
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

/// A time in milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The memory of a process in bytes, from a line of `/proc/PID/status`: `VmRSS` is the current value, `VmHWM` the
/// peak. `None` if the process has ended.
pub fn memory(pid: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The user and system CPU time of a process so far, from `/proc/PID/stat`.
///
/// # Panics
/// The process has ended.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is running");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// Waits until a process ends. Returns its exit status and its peak memory in bytes.
///
/// # Errors
/// Waiting for the process fails.
pub fn wait_and_peak(child: &mut Child) -> std::io::Result<(ExitStatus, u64)> {
    let mut peak = 0;
    loop {
        peak = peak.max(memory(child.id(), "VmHWM").unwrap_or_default());
        match child.try_wait()? {
            Some(status) => return Ok((status, peak)),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
