//! A progress bar on standard error, shown only on a terminal and only for long runs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The delay before the bar appears.
const LONG: Duration = Duration::from_millis(400);

/// The progress bar, hidden until [`LONG`] has passed.
pub(super) struct CheckProgress {
    bar: ProgressBar,
    wanted: bool,
    since: Instant,
}

impl CheckProgress {
    pub(super) fn new(length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        CheckProgress { bar, wanted: std::io::stderr().is_terminal(), since: Instant::now() }
    }

    pub(super) fn add(&self, bytes: u64) {
        if !self.wanted {
            return;
        }
        self.bar.inc(bytes);
        if self.bar.is_hidden() && self.since.elapsed() > LONG {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
