//! Files that change while the server runs.

use std::fs::Metadata;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use longshore::{Error, Result, blob_file, offload};

use crate::message;

/// Files, and how they looked when they were last read.
///
/// Made before they are first read, so that no change is missed.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    read: Vec<Option<Stamp>>,
    seen: Vec<Option<Stamp>>,
}

/// What tells that a file is another one, or was written. A link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
    /// Where the system tells it: when owner, permissions or content last changed. A file that could
    /// not be read may be readable from then on.
    changed: Option<(i64, i64)>,
}

impl Watch {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let read = look(&files);
        Self { seen: read.clone(), read, files }
    }

    /// Looks for changes for ever, and reads the files again after each. What was read before stays in
    /// use where that fails, and a warning says so.
    pub(super) async fn run(
        mut self,
        read_again: impl Fn() -> Result<()> + Clone + Send + 'static,
    ) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let (files, read_again) = (self.files.clone(), read_again.clone());
            let Ok(now) = offload(move || Ok(look(&files))).await else { return };
            if self.is_due(now)
                && let Err(e) = offload(read_again).await
            {
                let line = one_line(&e);
                message::warn_again(format_args!("still using the previous file: {line}"));
            }
        }
    }

    /// Whether the files changed, and nobody is writing them just now: they look as at the last look.
    fn is_due(&mut self, now: Vec<Option<Stamp>>) -> bool {
        let is_settled = now == self.seen;
        let is_due = is_settled && now != self.read;
        if is_due {
            self.read.clone_from(&now);
        }
        self.seen = now;
        is_due
    }
}

fn look(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| std::fs::metadata(file).ok().map(|m| Stamp::of(&m))).collect()
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: blob_file::inode(metadata),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            changed: changed(metadata),
        }
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<(i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<(i64, i64)> {
    None
}

/// An error with its causes.
fn one_line(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |e| e.source());
    causes.fold(error.to_string(), |line, cause| {
        format!("{line}: {}", longshore::Printable(&cause.to_string()))
    })
}

/// 200 ms: a change counts after two looks that find the same, within half a second. A look takes
/// some microseconds.
const INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_that_may_be_read_from_now_on_has_changed() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        let files = [file.path().to_owned()];
        let before = look(&files);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // The file system's clock may tick some milliseconds later.
        while look(&files) == before {
            assert!(std::time::Instant::now() < deadline);
            std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let stamp = |size| vec![Some(Stamp { inode: 1, size, modified: None, changed: None })];
        let mut watch = Watch { files: Vec::new(), read: stamp(1), seen: stamp(1) };
        for (now, is_due) in [
            (stamp(1), false),
            (stamp(2), false),
            (stamp(3), false),
            (stamp(3), true),
            (stamp(3), false),
            // Gone, and there again.
            (vec![None], false),
            (stamp(3), false),
            (stamp(3), false),
            // Gone for good: reading it says so.
            (vec![None], false),
            (vec![None], true),
        ] {
            assert_eq!(watch.is_due(now.clone()), is_due, "{now:?}");
        }
    }
}
