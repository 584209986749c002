//! Finds the cases of all policies.

use std::path::PathBuf;

use policy_catalog::POLICIES;
use policy_core::PolicyDefinition;

use crate::root;

/// A case file of a policy.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// The policy that the case belongs to.
    pub entry: &'static PolicyDefinition,
    /// The file's name without `.yaml`.
    pub name: String,
    /// The path of the file.
    pub path: PathBuf,
    /// The content of the file.
    pub text: String,
}

/// All cases of a policy, sorted by name.
pub fn of(entry: &'static PolicyDefinition) -> Vec<CaseFile> {
    let folder = root().join("policies").join(entry.metadata.name).join("cases");
    let mut files: Vec<CaseFile> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| {
            let path = file.expect("the folder can be listed").path();
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            CaseFile { entry, name, path, text }
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// All cases of all policies.
pub fn all() -> Vec<CaseFile> {
    POLICIES.iter().flat_map(of).collect()
}
