//! A kustomization upon another, which says where objects come from.

use std::io::{Error, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// How many names are tried.
const TRIES: u32 = 100;

/// Its folder, below that for temporary files; gone with this, but not where the process is killed.
pub(super) struct Upon(PathBuf);

impl Upon {
    /// One upon a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn new(dir: &Path) -> std::io::Result<Self> {
        let upon = Upon(made()?);
        // kustomize follows no absolute path.
        let is_name = |component: &Component<'_>| matches!(component, Component::Normal(_));
        let up = upon.0.components().filter(is_name).map(|_| Component::ParentDir);
        let below = dir.canonicalize()?;
        let path: PathBuf = up.chain(below.components().filter(is_name)).collect();
        let text = serde_json::json!({"resources": [path], "buildMetadata": ["originAnnotations"]});
        std::fs::write(upon.0.join("kustomization.yaml"), text.to_string())?;
        Ok(upon)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

/// A new folder: a process before this one may have had its number, and left one.
fn made() -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().canonicalize()?;
    for number in 0..TRIES {
        let folder = folder.join(format!("pratique-origins-{}-{number}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::from(ErrorKind::AlreadyExists))
}

impl Drop for Upon {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
