//! Shared code of the tests: the hosts that run a case, and checks for programs that may be missing on this machine.

pub mod browser;
pub mod cases;
pub mod control_plane;
pub mod folder;
pub mod hosts;
pub mod measure;
pub mod namespace;
pub mod platform;
pub mod process;
pub mod registration;
pub mod servers;
pub mod serving;
pub mod targets;
pub mod tools;

use std::path::PathBuf;

use policy_core::Arena;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The target folder of cargo.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// Decodes the non-empty documents of a YAML text to JSON.
///
/// # Errors
/// The text is not valid YAML, or a value has no JSON form.
pub fn yaml(text: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut values = Vec::new();
    for document in policy_core::yaml::documents(text) {
        let arena = Arena::new();
        let decoded = document.decode(&arena);
        if let Some(value) = decoded.map_err(|error| anyhow::anyhow!("{}: {error}", error.position))? {
            values.push(serde_json::to_value(value)?);
        }
    }
    Ok(values)
}

/// A trial that cannot run on this machine. It is reported as ignored; its name contains the reason and what to do.
pub fn ignored(name: &str, reason: &str) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(format!("{name} [{reason}]"), || Ok(())).with_ignored_flag(true)
}

/// Creates a trial for each function, with the name of the function: `trials![exit_codes, config::a_typo_is_named]`.
#[macro_export]
macro_rules! trials {
    ($($function:path),* $(,)?) => { vec![$($crate::trial(stringify!($function), $function)),*] };
}

/// A trial with the last segment of a path as its name.
pub fn trial(path: &str, run: fn() -> Result<(), libtest_mimic::Failed>) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(path.rsplit(':').next().unwrap_or(path).trim(), run)
}
