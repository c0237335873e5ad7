//! Reads and updates the two documents of a layout, `oci-layout` and `index.json`.

use std::fs::{File, Metadata};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::leftovers;
use super::lock::lock;
use crate::blob_file;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Index;

/// Reads `index.json`.
///
/// # Errors
/// Same as [`blob_file::read`]; [`Invalid`](ErrorKind::Invalid) with the path of the file, if its
/// JSON is damaged.
pub(super) fn read(root: &Path) -> Result<Index> {
    parse(root, &open(root)?)
}

/// Opens `index.json`.
pub(super) fn open(root: &Path) -> Result<File> {
    blob_file::open(&root.join(INDEX))
}

/// Returns the metadata of the file `index.json`, if it exists.
pub(super) fn metadata(root: &Path) -> Option<Metadata> {
    std::fs::symlink_metadata(root.join(INDEX)).ok()
}

/// Reads an open `index.json`.
///
/// # Errors
/// Same as [`read`].
pub(super) fn parse(root: &Path, file: &File) -> Result<Index> {
    let path = root.join(INDEX);
    let bytes = blob_file::read_open(&path, file, INDEX_LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(ErrorKind::Invalid)
            .at(path.display())
            .detail(format!("the layout's index is damaged: {e}"))
            .with_hint("The tags are lost. Remove the file and pull again. Blobs are kept.")
    })
}

/// Changes `index.json`: takes the lock, reads the file, changes the index, writes a temporary file
/// and renames it. An unchanged index is not written.
pub(super) fn update(root: &Path, change: impl FnOnce(&mut Index) -> Result<()>) -> Result<()> {
    let _lock = lock(&root.join(MARKER))?;
    let before = read(root)?;
    let mut index = before.clone();
    change(&mut index)?;
    if index == before {
        return Ok(());
    }
    write(root, &index)
}

/// Creates a layout in the folder, unless the folder is already a layout. Removes abandoned temporary
/// files.
pub(super) fn create(root: &Path) -> Result<()> {
    blob_file::create_folder(root)?;
    let marker = root.join(MARKER);
    if !marker.exists() {
        refuse_foreign(root)?;
        let content =
            serde_json::to_vec(&Marker { version: "1.0.0".into() }).map_err(unwritable)?;
        // This file is never replaced, because writers lock it.
        blob_file::create_now(&marker, &content)?;
    }
    check_marker(root)?;
    blob_file::create_folder(&root.join("blobs").join("sha256"))?;
    let _lock = lock(&marker)?;
    leftovers::remove(root);
    match root.join(INDEX).exists() {
        true => Ok(()),
        false => write(root, &Index::new(Vec::new())),
    }
}

/// Checks that a folder is a layout of a supported version, is empty, or does not exist.
pub(super) fn can_create(root: &Path) -> Result<()> {
    if root.join(MARKER).exists() {
        return check_marker(root);
    }
    match root.try_exists() {
        Ok(true) => refuse_foreign(root),
        Ok(false) => Ok(()),
        Err(e) => Err(Error::io(root, e)),
    }
}

/// Checks that the folder is a layout of a supported version.
pub(super) fn check_marker(root: &Path) -> Result<()> {
    if !root.is_dir() {
        return Err(Error::new(ErrorKind::NotFound).at(format!("oci:{}", root.display())));
    }
    let path = root.join(MARKER);
    let bytes = blob_file::read(&path, MARKER_LIMIT).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::Invalid)
            .at(root.display())
            .detail("not an OCI layout: the file oci-layout is missing"),
        _ => e,
    })?;
    let marker: Marker = serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(ErrorKind::Invalid).at(path.display()).detail(format!("damaged file: {e}"))
    })?;
    if marker.version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported)
        .at(path.display())
        .detail(format!("unsupported layout version {}, expected 1", marker.version)))
}

/// Refuses a folder that contains other files, such as a website's `index.json`. Temporary files
/// are allowed, because another writer may be creating a layout at the same time. That writer
/// creates the marker file before any other file.
fn refuse_foreign(root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(root).map_err(|e| Error::io(root, e))? {
        let name = entry.map_err(|e| Error::io(root, e))?.file_name();
        let is_temporary = name.to_str().is_some_and(blob_file::is_temporary);
        if !is_temporary && !root.join(MARKER).exists() {
            return Err(Error::new(ErrorKind::Invalid)
                .at(root.display())
                .detail(format!("not an OCI layout: the folder contains {}", name.display()))
                .with_hint("Choose a new or empty folder."));
        }
    }
    Ok(())
}

fn write(root: &Path, index: &Index) -> Result<()> {
    let content = serde_json::to_vec_pretty(index).map_err(unwritable)?;
    blob_file::replace_now(&root.join(INDEX), &content)
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid).detail("the document cannot be written as JSON").with_source(e)
}

/// The file `oci-layout`.
///
/// Source: image-spec v1.1.1, "oci-layout file".
#[derive(Serialize, Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
/// 64 KiB: the file usually has 30 bytes.
const MARKER_LIMIT: usize = 64 << 10;
/// 64 MiB: enough for about 200,000 entries.
const INDEX_LIMIT: usize = 64 << 20;
