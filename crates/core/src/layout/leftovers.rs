//! Removes the temporary files that writers of a layout left behind.

use std::path::{Path, PathBuf};

use super::blob_path;
use crate::blob_file;
use crate::digest::Digest;

/// Removes abandoned temporary files. Ignores errors.
pub(super) fn remove(root: &Path) {
    let leftovers = leftovers(root);
    if let Ok(now) = blob_file::time_at(root) {
        let exists = |digest: &Digest| blob_path(root, digest).exists();
        leftovers.iter().for_each(|path| blob_file::remove_abandoned(path, now, exists));
    }
}

/// Returns the temporary files in the root folder and in the folders of blobs.
fn leftovers(root: &Path) -> Vec<PathBuf> {
    let files = |folder: &Path| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    let mut folders: Vec<PathBuf> = files(&root.join("blobs"));
    folders.push(root.to_owned());
    let is_temporary = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(blob_file::is_temporary)
    };
    folders
        .iter()
        .flat_map(|folder| -> Vec<PathBuf> { files(folder) })
        .filter(is_temporary)
        .collect()
}
