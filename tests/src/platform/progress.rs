//! What is said while it comes up: a line for each step on standard error, with the second.

use std::time::Instant;

/// The time since the start.
#[derive(Clone, Copy)]
pub struct Progress(Instant);

impl Progress {
    /// From now on.
    #[expect(clippy::new_without_default, reason = "it begins to count")]
    pub fn new() -> Self {
        Progress(Instant::now())
    }

    /// A step that is done.
    pub fn step(&self, what: &str) {
        eprintln!("  {:6.1} s  ✓ {what}", self.0.elapsed().as_secs_f64());
    }

    /// What became of something that was tried.
    pub fn done(&self, what: &str, result: &anyhow::Result<()>) {
        match result {
            Ok(()) => self.step(what),
            Err(error) => eprintln!("  {:6.1} s  ✗ {what}: {error:#}", self.0.elapsed().as_secs_f64()),
        }
    }
}
