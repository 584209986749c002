//! Detects changes of files while the server runs, such as of a mounted ConfigMap or Secret.

use std::path::PathBuf;
use std::time::Duration;

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Files and their contents when they were last read. They are polled, because the kubelet replaces a symbolic link in the path
/// and a watch of the file itself does not report that.
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    taken: Option<Vec<Vec<u8>>>,
}

impl WatchedFiles {
    /// Records the current contents of these files. Call this before you read them, so that no change is missed.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut files = WatchedFiles { paths: paths.into_iter().collect(), taken: None };
        files.taken = contents(&files.paths);
        files
    }

    /// Waits until the contents change or a file disappears. Returns once per change, even if the new contents are not valid.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let paths = self.paths.clone();
            let Ok(contents) = on_blocking_thread(move || Ok(contents(&paths))).await else { continue };
            if contents != self.taken {
                self.taken = contents;
                return;
            }
        }
    }
}

/// The current contents of all files; `None` if one cannot be read or is not a regular file.
fn contents(paths: &[PathBuf]) -> Option<Vec<Vec<u8>>> {
    let read = |path: &PathBuf| path.is_file().then(|| std::fs::read(path).ok()).flatten();
    paths.iter().map(read).collect()
}

/// Runs work that reads files on a separate thread, because a mount may hang and a large file is slow to read.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
