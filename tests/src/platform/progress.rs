//! What is said while it comes up: a line for each step, with the second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The steps so far.
#[derive(Clone)]
pub struct Progress {
    since: Instant,
    is_shown: bool,
    steps: Arc<Mutex<Vec<(f64, String)>>>,
}

impl Progress {
    /// From now on; shown on standard error, or only kept.
    pub fn new(is_shown: bool) -> Self {
        Progress { since: Instant::now(), is_shown, steps: Arc::default() }
    }

    /// A step that is done.
    pub fn step(&self, what: &str) {
        let at = self.since.elapsed().as_secs_f64();
        if self.is_shown {
            eprintln!("  {at:6.1} s  ✓ {what}");
        }
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((at, what.to_owned()));
    }

    /// What became of something that was tried.
    pub fn done(&self, what: &str, result: &anyhow::Result<()>) {
        match result {
            Ok(()) => self.step(what),
            Err(error) => {
                let at = self.since.elapsed().as_secs_f64();
                eprintln!("  {at:6.1} s  ✗ {what}: {error:#}");
            }
        }
    }

    /// All steps, with their seconds.
    pub fn steps(&self) -> Vec<(f64, String)> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long it has been, in seconds.
    pub fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }
}
