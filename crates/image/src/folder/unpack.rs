//! Unpacks an archive into a temporary folder, and then moves the folder to its destination.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_core::blob_file::{self, TempFolder};
use longshore_core::{Annotations, Digest, Error, Placed, Result, Source, run_blocking};

use super::merge;
use super::plan::{self, Item, Plan};
use crate::compression::UnpackLimits;
use crate::file_range::{OpenFile, Section};
use crate::layer::unpack;

/// Unpacks a folder's archive into `root`. Returns the path of the unpacked folder.
///
/// The archive is verified against its digest, and its content against the annotation
/// [`UNPACKED_DIGEST`](Annotations::UNPACKED_DIGEST), if present. All files are written to a
/// temporary folder beside the target, or in `root` if the target is `root` itself, and then
/// renamed. A new folder below `root` therefore appears only with its complete content. In an
/// existing target, files are added or replaced, and all other files stay.
///
/// Modes are kept as far as the umask allows, but without setuid, setgid and sticky bit. The owner
/// always has all permissions for folders. Owners and times are not kept. Symbolic links stay
/// links.
///
/// # Errors
/// [`Invalid`] if the archive is damaged, for names and links that lead out of the folder, for
/// devices and pipes, for two entries with the same name that are not both folders, and if an
/// existing link, file or folder is in the way. [`DigestMismatch`]; [`TooLarge`] beyond the limits,
/// 1,000,000 entries, 64 MiB of names, or 256 nested folders; [`Unsupported`] for symbolic links on
/// systems other than Unix; [`Io`]; the errors of the source. After an error, no files of the
/// folder are left behind, unless a rename failed.
///
/// # Cancellation
/// Dropping the future while the archive is read leaves no files behind. Once the archive has been
/// read, unpacking and renaming continue in the background.
///
/// [`Invalid`]: longshore_core::ErrorKind::Invalid
/// [`DigestMismatch`]: longshore_core::ErrorKind::DigestMismatch
/// [`TooLarge`]: longshore_core::ErrorKind::TooLarge
/// [`Unsupported`]: longshore_core::ErrorKind::Unsupported
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
    let (target, temporary) = run_blocking(move || {
        let target = file.target(&root)?;
        let own = file.path.as_os_str().is_empty();
        let beside = target.parent().filter(|_| !own).unwrap_or(&target);
        let temporary = TempFolder::create(beside)?;
        Ok((target, temporary))
    })
    .await?;
    let tar = temporary.path().join("tar");
    blob_file::write(&tar, content).await?;
    let digest = blob.digest.clone();
    run_blocking(move || {
        let tree = extract(&temporary, &tar, &title).map_err(|e| e.at(digest))?;
        merge::into_place(&tree, &target)?;
        Ok(target)
    })
    .await
}

/// Writes the folder to a temporary path. Returns that path.
fn extract(temporary: &TempFolder, tar: &Path, title: &str) -> Result<PathBuf> {
    let tree = temporary.path().join("tree");
    let file = File::open(tar).map_err(|e| Error::io(tar, e))?;
    let tar = Arc::new(OpenFile::new(file, tar));
    write(&plan::of(&tar, title)?, &tar, &tree)?;
    Ok(tree)
}

/// Writes folders and files first, then hard links, then symbolic links. While files are written,
/// no link exists that could redirect a file, even on a file system that ignores case.
fn write(plan: &Plan, tar: &Arc<OpenFile>, tree: &Path) -> Result<()> {
    create_folder(tree, 0o777)?;
    for (name, item) in plan {
        let path = tree.join(name);
        match item {
            Item::Folder { .. } if name.is_empty() => {}
            Item::Folder { mode } => create_folder(&path, *mode)?,
            Item::File { mode, offset, size } => {
                create_parent(&path)?;
                let content = Section::new(Arc::clone(tar), *offset, *size);
                write_file(&path, *mode, &content).map_err(|e| Error::io(&path, e))?;
            }
            Item::HardLink(_) | Item::SymbolicLink(_) => create_parent(&path)?,
        }
    }
    for (name, item) in plan {
        if let Item::HardLink(to) = item {
            let path = tree.join(name);
            std::fs::hard_link(tree.join(to), &path).map_err(|e| Error::io(&path, e))?;
        }
    }
    for (name, item) in plan {
        if let Item::SymbolicLink(to) = item {
            let path = tree.join(name);
            create_link(to, &path)?;
        }
    }
    Ok(())
}

fn create_parent(path: &Path) -> Result<()> {
    let above = path.parent().unwrap_or(path);
    std::fs::create_dir_all(above).map_err(|e| Error::io(above, e))
}

/// Creates a folder that its owner can fill, rename and remove.
fn create_folder(path: &Path, mode: u32) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    set_mode(&mut builder, mode | 0o700);
    builder.create(path).map_err(|e| Error::io(path, e))
}

fn write_file(path: &Path, mode: u32, content: &Section) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_file_mode(&mut options, mode);
    let mut file = options.open(path)?;
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
fn create_link(to: &str, path: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, path).map_err(|e| Error::io(path, e))
}

#[cfg(not(unix))]
fn create_link(_: &str, path: &Path) -> Result<()> {
    Err(Error::new(longshore_core::ErrorKind::Unsupported)
        .at(path.display())
        .detail("symbolic links cannot be created on this system"))
}
