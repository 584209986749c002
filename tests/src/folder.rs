//! Temporary folders for tests.

use std::path::PathBuf;

/// A temporary folder that is removed when this value is dropped.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Creates a folder with this name that is unique to this process.
    ///
    /// # Panics
    /// The folder cannot be created.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pratique-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder can be created");
        Folder(path)
    }

    /// Writes a file in the folder and returns its path.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("the file is in a folder"))
            .expect("the folder can be created");
        std::fs::write(&path, text).expect("the file can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
