//! How much is in a registry's folder: what a start counts, where it is to be counted.

use std::collections::HashSet;
use std::fs::Metadata;

use longshore_core::{Error, Result};

use super::blobs::is_absent;
use super::place::Place;
use super::uploads::is_record;

/// The bytes of all files below the root, each once, however many names it has. The records of
/// uploads do not count: they are as short as they are few.
pub(super) fn measure(place: &Place) -> Result<u64> {
    let uploads = place.uploads();
    let (mut total, mut seen) = (0, HashSet::new());
    let mut left = vec![place.root().to_owned()];
    while let Some(folder) = left.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if is_absent(&e) => continue,
            entries => entries.map_err(|e| Error::io(&folder, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(&folder, e))?;
            let path = entry.path();
            let metadata = match entry.metadata() {
                Err(e) if is_absent(&e) => continue,
                metadata => metadata.map_err(|e| Error::io(&path, e))?,
            };
            if metadata.is_dir() {
                left.push(path);
            } else if metadata.is_file()
                && !(folder == uploads && is_record(&path))
                && shared(&metadata).is_none_or(|inode| seen.insert(inode))
            {
                total += metadata.len();
            }
        }
    }
    Ok(total)
}

/// What tells the names of one file, if it has several.
#[cfg(unix)]
fn shared(metadata: &Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.nlink() > 1).then(|| metadata.ino())
}

/// Elsewhere it is not to be had: a file counts once a name.
#[cfg(not(unix))]
fn shared(_: &Metadata) -> Option<u64> {
    None
}
