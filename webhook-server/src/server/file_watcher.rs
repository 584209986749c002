//! WatchedFiles that change while they are served: what Kubernetes mounts is swapped, all of a volume at once.

use std::path::PathBuf;
use std::time::Duration;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Some files, and what was in them when they were last looked at. They are read, not watched: a kubelet swaps a symbolic link
/// above them, which no watch of the file itself is told.
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    taken: Option<Vec<Vec<u8>>>,
}

impl WatchedFiles {
    /// These files, as they are now. Whoever reads them does it afterwards, so that no change is missed.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut files = WatchedFiles { paths: paths.into_iter().collect(), taken: None };
        files.taken = contents(&files.paths);
        files
    }

    /// Waits until something in them is new, or one of them is gone: once for each change, whether it can be used or not.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let paths = self.paths.clone();
            let Ok(contents) = aside(move || Ok(contents(&paths))).await else { continue };
            if contents != self.taken {
                self.taken = contents;
                return;
            }
        }
    }
}

/// What is in all of them now; `None` while one of them cannot be read, or is no file.
fn contents(paths: &[PathBuf]) -> Option<Vec<Vec<u8>>> {
    let read = |path: &PathBuf| path.is_file().then(|| std::fs::read(path).ok()).flatten();
    paths.iter().map(read).collect()
}

/// Does what reads files on a thread of its own: what is mounted may hang, and a large file takes its time.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
