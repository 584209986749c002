//! What the tests share: the hosts that a case runs in, and what a test needs that may not be here.

pub mod cases;
pub mod hosts;
pub mod process;

use std::path::PathBuf;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// A trial for what cannot be run here: reported as ignored, with the reason and what to do in its name.
pub fn ignored(name: &str, reason: &str) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(format!("{name} [{reason}]"), || Ok(())).with_ignored_flag(true)
}
