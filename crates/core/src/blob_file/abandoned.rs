//! Removes temporary files and folders whose writers have ended.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::claim::{Claim, claim};
use super::partial::digest_of;
use super::temp_folder;
use crate::digest::Digest;

/// Removes a temporary file if its writer has ended. Keeps the first bytes of a blob for a week, so
/// that a later writer can continue there, unless the blob `exists` by now. Ignores errors.
///
/// - `now`: the time of the clock that sets the times of files in the folder.
pub(crate) fn remove_file(path: &Path, now: SystemTime, exists: impl Fn(&Digest) -> bool) {
    let Ok(file) = super::open(path) else { return };
    let claim = claim(&file, path);
    let Ok(metadata) = file.metadata() else { return };
    let keep_for = match (claim, digest_of(path)) {
        (Claim::Ours, Some(digest)) if metadata.len() > 0 && !exists(&digest) => KEPT,
        (Claim::Ours, _) => Duration::ZERO,
        (Claim::Unknown, _) => UNLOCKED,
        (Claim::Taken | Claim::Gone, _) => return,
    };
    let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
    if keep_for.is_zero() || age.is_some_and(|age| age > keep_for) {
        tracing::debug!(path = %path.display(), "removing an abandoned temporary file");
        std::fs::remove_file(path).ok();
    }
}

/// Removes the temporary folders in `above` whose writers have ended. Ignores errors.
pub(super) fn remove_folders(above: &Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder
            && entry.file_name().to_str().is_some_and(temp_folder::is_name)
            && let Ok(folder) = File::open(&path)
            && claim(&folder, &path) == Claim::Ours
        {
            tracing::debug!(path = %path.display(), "removing an abandoned temporary folder");
            std::fs::remove_dir_all(&path).ok();
        }
    }
}

/// One week: long enough to continue after a weekend.
const KEPT: Duration = Duration::from_secs(7 * DAY);
/// One day: longer than any usual transfer. A file that cannot be locked may be in use.
const UNLOCKED: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::blob_file::{TEMP_PREFIX, TempFile, TempFolder};

    #[test]
    fn an_abandoned_temporary_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let now = crate::blob_file::time_at(folder.path()).unwrap();
        let _writer = TempFile::create(folder.path()).unwrap();
        let used = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let abandoned = folder.path().join(format!("{TEMP_PREFIX}abcdef"));
        let digest = Digest::sha256(b"abc");
        let partial = folder.path().join(format!("{TEMP_PREFIX}{}", digest.file_name()));
        let remove_all = |now, blob_exists| {
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                remove_file(&entry.unwrap().path(), now, |_| blob_exists);
            }
            [&used, &abandoned, &partial].map(|path| path.exists())
        };
        let write = || [&abandoned, &partial].map(|path| std::fs::write(path, "a").unwrap());
        write();
        assert_eq!(remove_all(now, false), [true, false, true]);
        assert_eq!(remove_all(now + KEPT + Duration::from_secs(99), false), [true, false, false]);
        write();
        assert_eq!(remove_all(now, true), [true, false, false]);
    }

    #[test]
    fn an_abandoned_temporary_folder_is_removed() {
        let above = tempfile::tempdir().unwrap();
        let used = TempFolder::create(above.path()).unwrap();
        let name = used.path().file_name().unwrap().to_str().unwrap();
        let abandoned = above.path().join(format!("{}abcdef", &name[..name.len() - 6]));
        let similar = above.path().join(format!("{}backup-1", &name[..name.len() - 6]));
        for folder in [&abandoned, &similar] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "a").unwrap();
        }
        let second = TempFolder::create(above.path()).unwrap();
        let exist = [used.path(), second.path(), &abandoned, &similar].map(Path::exists);
        assert_eq!(exist, [true, true, false, true]);
        drop((used, second));
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 1);
    }
}
