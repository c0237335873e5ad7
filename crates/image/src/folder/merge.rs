//! Moves an unpacked folder to its destination, and merges it into an existing folder.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use longshore_core::{Error, ErrorKind, Result};

/// Moves a folder to its destination. Conflicts are reported before any file is moved.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if a link or file is in the way of a folder, or a folder in the
/// way of a file; [`Io`](ErrorKind::Io).
pub(super) fn into_place(tree: &Path, target: &Path) -> Result<()> {
    let mut moves = Vec::new();
    plan(tree, target, &mut moves)?;
    for (from, to) in moves {
        std::fs::rename(&from, &to).map_err(|e| Error::io(&to, e))?;
    }
    Ok(())
}

/// Lists the renames. Folders that do not exist at the destination are renamed as a whole.
fn plan(from: &Path, to: &Path, moves: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
    let existing = metadata_of(to)?;
    let is_folder = metadata_of(from)?.is_some_and(|metadata| metadata.is_dir());
    match existing {
        Some(existing) if existing.is_dir() && is_folder => {}
        Some(existing) if existing.is_dir() => return Err(in_the_way(to, "a folder", "file")),
        Some(existing) if is_folder => {
            let what = if existing.is_symlink() { "a symbolic link" } else { "a file" };
            return Err(in_the_way(to, what, "folder"));
        }
        _ => {
            moves.push((from.to_owned(), to.to_owned()));
            return Ok(());
        }
    }
    let children = std::fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for child in children.map_err(|e| Error::io(from, e))? {
        plan(&child.path(), &to.join(child.file_name()), moves)?;
    }
    Ok(())
}

fn metadata_of(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn in_the_way(path: &Path, what: &str, of: &str) -> Error {
    Error::new(ErrorKind::Invalid)
        .at(path.display())
        .detail(format!("{what} is in the way of a {of}"))
}
