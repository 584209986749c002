//! A temporary overlay of a kustomization, which adds the origin of each object.

use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// The folder of the overlay, in the temporary directory. It is removed on drop, but not if the process is killed.
pub(super) struct Overlay {
    path: PathBuf,
    /// Removes the folder when it is dropped.
    _folder: TempDir,
}

impl Overlay {
    /// Creates an overlay of the kustomization in a folder.
    ///
    /// # Errors
    /// The overlay cannot be written.
    pub(super) fn new(dir: &Path) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("pratique-origins-").tempdir()?;
        let path = folder.path().canonicalize()?;
        let overlay = Overlay { path, _folder: folder };
        // kustomize does not accept absolute paths.
        let is_name = |component: &Component<'_>| matches!(component, Component::Normal(_));
        let up = overlay.path.components().filter(is_name).map(|_| Component::ParentDir);
        let below = dir.canonicalize()?;
        let path: PathBuf = up.chain(below.components().filter(is_name)).collect();
        let text = serde_json::json!({"resources": [path], "buildMetadata": ["originAnnotations"]});
        std::fs::write(overlay.folder().join("kustomization.yaml"), text.to_string())?;
        Ok(overlay)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.path
    }
}
