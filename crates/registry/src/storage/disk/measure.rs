//! The size of a storage's folder.

use std::path::Path;

use longshore_core::{Error, Result};

use super::is_absent;
use crate::storage::{LINKS, SESSION_SUFFIX};

/// Returns the total size of all objects and uploads below the root, in bytes.
///
/// Links are not counted: a link is empty, or a hard link to the blob if an earlier version of
/// longshore created it. The records of uploads are not counted, because they are few and short.
pub(super) fn measure(root: &Path) -> Result<u64> {
    let (mut total, mut folders) = (0, vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if is_absent(&e) => continue,
            entries => entries.map_err(|e| Error::io(&folder, e))?,
        };
        let is_uploads = folder == root.join("uploads");
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(&folder, e))?;
            let (path, name) = (entry.path(), entry.file_name());
            let metadata = match entry.metadata() {
                Err(e) if is_absent(&e) => continue,
                metadata => metadata.map_err(|e| Error::io(&path, e))?,
            };
            let is_record =
                is_uploads && name.as_encoded_bytes().ends_with(SESSION_SUFFIX.as_bytes());
            if metadata.is_dir() && name != LINKS {
                folders.push(path);
            } else if metadata.is_file() && !is_record {
                total += metadata.len();
            }
        }
    }
    Ok(total)
}
