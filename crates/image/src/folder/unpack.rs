//! Unpacks an archive into a folder: into a temporary folder first, then into place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_core::{Annotations, Digest, Error, Placed, Result, Source, blob_file, run_blocking};
use tempfile::TempDir;

use super::merge;
use super::plan::{self, Item, Plan};
use crate::compression::UnpackLimits;
use crate::file_range::{OpenFile, Section};
use crate::layer::unpack;

/// Unpacks a folder that was stored as an archive below `root`; returns its path.
///
/// The archive is checked against its digest, and its content against the annotation
/// [`UNPACKED_DIGEST`](Annotations::UNPACKED_DIGEST), if there is one. Everything is written to a
/// temporary folder beside the target and then renamed. If the target does not exist, it appears
/// with all its content. If it exists, files are added or replaced, and the rest stays.
///
/// Modes are kept as far as the umask allows, without setuid, setgid and sticky bit, and the owner
/// can always change a folder. Owners and times are not kept. Symbolic links stay links.
///
/// # Errors
/// [`Invalid`] for an archive that is damaged; for names and links that lead out of the folder,
/// devices and pipes, two entries with one name; if a link or a file is in the way.
/// [`DigestMismatch`]; [`TooLarge`] beyond the limits, 1,000,000 entries, 64 MiB of names, or
/// folders nested 256 deep; [`Io`]; the errors of the source. Nothing of the folder is left behind
/// then, unless the disk failed during the renaming.
///
/// # Cancellation
/// Dropping the future leaves nothing behind; once the renaming has begun, it completes.
///
/// [`Invalid`]: longshore_core::ErrorKind::Invalid
/// [`DigestMismatch`]: longshore_core::ErrorKind::DigestMismatch
/// [`TooLarge`]: longshore_core::ErrorKind::TooLarge
/// [`Io`]: longshore_core::ErrorKind::Io
pub async fn unpack_folder(
    source: &(impl Source + ?Sized),
    file: &Placed,
    root: &Path,
    limits: UnpackLimits,
) -> Result<PathBuf> {
    let blob = &file.blob;
    let title = blob.annotations.get(Annotations::TITLE).unwrap_or(".").to_owned();
    let unpacked = blob.annotations.get(Annotations::UNPACKED_DIGEST).map(Digest::parse);
    let unpacked = unpacked.transpose().map_err(|e| Error::from(e).at(&blob.digest))?;
    let content = unpack(source.blob(blob).await?, unpacked, limits)?;

    let (file, root) = (file.clone(), root.to_owned());
    let (target, aside) = run_blocking(move || {
        let target = file.target(&root)?;
        let own = file.path.as_os_str().is_empty();
        let beside = target.parent().filter(|_| !own).unwrap_or(&target);
        let aside = tempfile::Builder::new().prefix(blob_file::TEMP_PREFIX).tempdir_in(beside);
        let aside = aside.map_err(|e| Error::io(beside, e))?;
        Ok((target, aside))
    })
    .await?;
    let tar = aside.path().join("tar");
    blob_file::write(&tar, content).await?;
    let digest = blob.digest.clone();
    run_blocking(move || {
        let tree = extract(&aside, &tar, &title).map_err(|e| e.at(digest))?;
        merge::into_place(&tree, &target)?;
        Ok(target)
    })
    .await
}

/// Writes the folder to a temporary place and returns its path.
fn extract(aside: &TempDir, tar: &Path, title: &str) -> Result<PathBuf> {
    let tree = aside.path().join("tree");
    let file = File::open(tar).map_err(|e| Error::io(tar, e))?;
    let tar = Arc::new(OpenFile::new(file, tar));
    write(&plan::of(&tar, title)?, &tar, &tree)?;
    Ok(tree)
}

/// Writes folders and files first, then hard links, then symbolic links: while files are written,
/// no link exists that could redirect them, even on a file system that ignores case.
fn write(plan: &Plan, tar: &Arc<OpenFile>, tree: &Path) -> Result<()> {
    make_folder(tree, 0o777)?;
    for (path, item) in plan {
        let place = tree.join(path);
        match item {
            Item::Folder { .. } if path.is_empty() => {}
            Item::Folder { mode } => make_folder(&place, *mode)?,
            Item::File { mode, offset, size } => {
                make_above(&place)?;
                let content = Section::new(Arc::clone(tar), *offset, *size);
                write_file(&place, *mode, &content).map_err(|e| Error::io(&place, e))?;
            }
            Item::HardLink(_) | Item::SymbolicLink(_) => make_above(&place)?,
        }
    }
    for (path, item) in plan {
        if let Item::HardLink(to) = item {
            let place = tree.join(path);
            std::fs::hard_link(tree.join(to), &place).map_err(|e| Error::io(&place, e))?;
        }
    }
    for (path, item) in plan {
        if let Item::SymbolicLink(to) = item {
            let place = tree.join(path);
            make_link(to, &place)?;
        }
    }
    Ok(())
}

fn make_above(place: &Path) -> Result<()> {
    let above = place.parent().unwrap_or(place);
    std::fs::create_dir_all(above).map_err(|e| Error::io(above, e))
}

/// Creates a folder that its owner can fill, rename and remove.
fn make_folder(place: &Path, mode: u32) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    set_mode(&mut builder, mode | 0o700);
    builder.create(place).map_err(|e| Error::io(place, e))
}

fn write_file(place: &Path, mode: u32, content: &Section) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_file_mode(&mut options, mode);
    let mut file = options.open(place)?;
    io::copy(&mut content.reader(), &mut file).map(drop)
}

#[cfg(unix)]
fn set_mode(builder: &mut DirBuilder, mode: u32) {
    std::os::unix::fs::DirBuilderExt::mode(builder, mode);
}

#[cfg(not(unix))]
fn set_mode(_: &mut DirBuilder, _: u32) {}

#[cfg(unix)]
fn set_file_mode(options: &mut OpenOptions, mode: u32) {
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
}

#[cfg(not(unix))]
fn set_file_mode(_: &mut OpenOptions, _: u32) {}

#[cfg(unix)]
fn make_link(to: &str, place: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, place).map_err(|e| Error::io(place, e))
}

#[cfg(not(unix))]
fn make_link(_: &str, place: &Path) -> Result<()> {
    Err(Error::new(longshore_core::ErrorKind::Unsupported)
        .at(place.display())
        .detail("symbolic links cannot be made on this system"))
}
