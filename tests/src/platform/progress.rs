//! Reports the progress of the start on standard error: one line per step, with the elapsed seconds.

use std::time::Instant;

/// The time since the start.
#[derive(Clone, Copy)]
pub struct Progress(Instant);

impl Progress {
    /// Starts the clock.
    #[expect(clippy::new_without_default, reason = "it starts the clock")]
    pub fn new() -> Self {
        Progress(Instant::now())
    }

    /// Reports a completed step.
    pub fn step(&self, what: &str) {
        eprintln!("  {:6.1} s  ✓ {what}", self.0.elapsed().as_secs_f64());
    }

    /// Reports the result of a scene.
    pub fn done(&self, what: &str, result: &anyhow::Result<()>) {
        match result {
            Ok(()) => self.step(what),
            Err(error) => eprintln!("  {:6.1} s  ✗ {what}: {error:#}", self.0.elapsed().as_secs_f64()),
        }
    }
}
