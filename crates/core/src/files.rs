//! The files of a manifest: lists them, and writes them to a folder.
//!
//! Owns the rule that decides which titles are safe paths, and the names of blobs without a title.
//! The module `pack` adds files to a manifest. The crate `longshore-image` reads the content of
//! archives.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::annotations::Annotations;
use crate::blob::{BlobBody, BlobReader, BlobStream};
use crate::blob_file;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, RawManifest};
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Tag, TagOrDigest};
use crate::run_blocking::run_blocking;
use crate::store::Source;

/// Lists the blobs of a manifest except its config: the files of an artifact or the layers of an
/// image.
///
/// The name of a file is its annotation [`TITLE`](Annotations::TITLE), which may be any text.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the manifest cannot be read;
/// [`Unsupported`](ErrorKind::Unsupported) if it is an index or of an unknown kind.
pub fn list_files(manifest: &RawManifest) -> Result<Vec<Descriptor>> {
    match manifest.parse()? {
        Manifest::Image(image) => Ok(image.layers.clone()),
        Manifest::Artifact(artifact) => Ok(artifact.blobs.clone()),
        _ => Err(Error::new(ErrorKind::Unsupported)
            .at(manifest.digest())
            .detail(format!("a manifest of type {} lists no files", manifest.media_type()))),
    }
}

/// Writes the blobs that a manifest lists to a folder and returns their paths. The name of a file
/// is the title of the blob, or its digest (`sha256-<hex>`) if the blob has no title.
///
/// A title may contain subfolders, which are created. All titles are checked before anything is
/// written. No file is written through a symbolic link below the folder. Each file appears only
/// when it is complete and verified, and replaces an existing file. A folder that was stored as an
/// archive is written as an archive. To unpack it, use [`place_files`] and an archive reader.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the manifest lists nothing; [`Invalid`](ErrorKind::Invalid)
/// for a title that [`place_files`] refuses, or for a symbolic link on a path;
/// [`Io`](ErrorKind::Io); the errors of the source.
pub async fn pull_files<S: Source + ?Sized + 'static>(
    source: &Arc<S>,
    manifest: &RawManifest,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let files =
        place_files(list_files(manifest)?, Folders::Kept).map_err(|e| e.at(manifest.digest()))?;
    stream::iter(files)
        .map(|file| async move { file.write(source, folder).await })
        .buffered(PARALLEL)
        .try_collect()
        .await
}

/// A blob that a manifest lists, and its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// The blob.
    pub blob: Descriptor,
    /// The path below the destination folder, or an empty path for the folder itself.
    pub path: PathBuf,
    /// True if the blob is an archive that is to be unpacked at the path.
    pub folder: bool,
}

/// The treatment of folders that were stored as archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// The archives are unpacked into folders.
    Unpacked,
    /// The archives are kept as files, each with the name of its folder.
    Kept,
}

/// Determines the path of each blob: its title, or its digest if it has no title.
///
/// The title `.` stands for the destination folder itself, and is allowed only for a folder. An
/// archive that is kept cannot have this name, so its path is its digest. A blob without a title
/// that is listed twice becomes one file.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there are no blobs; [`Invalid`](ErrorKind::Invalid) for a
/// title that is not a path below a folder, that two blobs share, or that names both a file and a
/// folder, and for a folder to be unpacked within another unpacked folder.
///
/// Source: the annotations [`TITLE`](Annotations::TITLE) and [`UNPACK`](Annotations::UNPACK).
pub fn place_files(blobs: Vec<Descriptor>, folders: Folders) -> Result<Vec<Placed>> {
    if blobs.is_empty() {
        return Err(Error::new(ErrorKind::NotFound).detail("the manifest lists no blobs"));
    }
    let (mut placed, mut paths) = (Vec::new(), BTreeMap::new());
    for blob in blobs {
        let folder = folders == Folders::Unpacked && blob.annotations.are_of_a_folder();
        let (path, titled) = place(&blob, folders)?;
        match paths.insert(path.clone(), (folder, blob.digest.clone())) {
            None => placed.push(Placed { blob, path, folder }),
            Some((_, same)) if !titled && same == blob.digest => {}
            Some(_) => return Err(refused(&path, "two files have this title")),
        }
    }
    for (path, (is_folder, _)) in &paths {
        let mut above = path.ancestors().skip(1).filter_map(|above| paths.get_key_value(above));
        // An unpacked folder may contain other files but no other unpacked folders, because its
        // links are checked without the content of other folders.
        if let Some((above, _)) = above.find(|(_, (unpacked, _))| !unpacked || *is_folder) {
            return Err(refused(above, "another title is a path below it"));
        }
    }
    Ok(placed)
}

/// Returns the path of a blob, and true if the path is its title.
fn place(blob: &Descriptor, folders: Folders) -> Result<(PathBuf, bool)> {
    match blob.annotations.get(Annotations::TITLE) {
        Some(".") if blob.annotations.are_of_a_folder() && folders == Folders::Unpacked => {
            Ok((PathBuf::new(), true))
        }
        Some(".") if blob.annotations.are_of_a_folder() => {
            Ok((blob.digest.file_name().into(), false))
        }
        Some(title) => match below(title) {
            Ok(path) => Ok((path, true)),
            Err(reason) => Err(refused(Path::new(title), reason)),
        },
        None => Ok((blob.digest.file_name().into(), false)),
    }
}

fn refused(title: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Invalid).detail(format!("the title {title:?}: {reason}"))
}

impl Placed {
    /// Writes the blob as a file below `folder` and returns its path.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if a folder on the path is a symbolic link;
    /// [`Io`](ErrorKind::Io); the errors of the source. The first bytes of a large blob are kept for
    /// the next call; see [`blob_file::write_beside`].
    pub async fn write<S: Source + ?Sized + 'static>(
        &self,
        source: &Arc<S>,
        folder: &Path,
    ) -> Result<PathBuf> {
        let (file, root) = (self.clone(), folder.to_owned());
        let target = run_blocking(move || file.target(&root)).await?;
        let body = BlobBody::source(Arc::new(Shared(Arc::clone(source))));
        blob_file::write_beside(&target, &self.blob, body).await?;
        Ok(target)
    }

    /// Returns the destination below `folder`, and creates its parent folders. Blocks the thread.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if a parent folder, or the folder to unpack to, is a
    /// symbolic link; [`Io`](ErrorKind::Io).
    pub fn target(&self, folder: &Path) -> Result<PathBuf> {
        let root = std::path::absolute(folder).map_err(|e| Error::io(folder, e))?;
        let above = self.path.parent().unwrap_or(Path::new(""));
        no_link_on(folder, if self.folder { &self.path } else { above })?;
        let above = root.join(above);
        std::fs::create_dir_all(&above).map_err(|e| Error::io(&above, e))?;
        Ok(if self.path.as_os_str().is_empty() { root } else { root.join(&self.path) })
    }
}

/// A shared store of any type, as a source of its own: an `Arc<S>` of an unsized store cannot become
/// an `Arc<dyn Source>`.
#[derive(Debug)]
struct Shared<S: ?Sized>(Arc<S>);

#[async_trait]
impl<S: Source + ?Sized> Source for Shared<S> {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.0.manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.0.blob(descriptor).await
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.0.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.0.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.0.tags(after)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.0.referrers(subject, artifact_type)
    }
}

/// Converts a title to a path below a folder, or returns the reason why this is not possible.
///
/// Backslashes are refused on every system, because they separate folders on Windows. Colons are
/// refused only on Windows.
fn below(title: &str) -> Result<PathBuf, &'static str> {
    if title.is_empty() {
        return Err("a title must not be empty");
    }
    if title.contains('\\') || title.chars().any(char::is_control) {
        return Err("backslashes and control characters are not allowed");
    }
    if cfg!(windows) && title.contains(':') {
        return Err("a colon is not allowed on Windows");
    }
    if title.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("expected a path below the folder, without \"..\" or empty parts");
    }
    if title.split('/').any(blob_file::is_temporary) {
        return Err("the name is reserved for files that are being written");
    }
    Ok(title.into())
}

/// Checks that no part of `path` below the root is a symbolic link.
fn no_link_on(root: &Path, path: &Path) -> Result<()> {
    let mut place = root.to_owned();
    for part in path.components() {
        place.push(part);
        if std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(Error::new(ErrorKind::Invalid)
                .at(place.display())
                .detail("expected a folder, found a symbolic link"));
        }
    }
    Ok(())
}

/// The maximum number of files that are transferred concurrently.
const PARALLEL: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;
    use crate::memory::Memory;
    use crate::pack::Pack;

    async fn packed(files: &[(&str, &str)]) -> (Memory, RawManifest) {
        let store = Memory::new();
        let mut pack = Pack::artifact("application/vnd.example".parse().unwrap());
        for (name, content) in files {
            pack = pack.file(name, (*content).to_owned());
        }
        let packed = pack.push(&store, None).await.unwrap();
        let manifest = store.manifest(&packed.digest.into()).await.unwrap();
        (store, manifest)
    }

    #[tokio::test]
    async fn files_are_written_under_their_titles() {
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("a.txt", "one"), ("deep/er/b.txt", "two")]).await;
        let paths = pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap();
        assert_eq!(paths, [folder.path().join("a.txt"), folder.path().join("deep/er/b.txt")]);
        assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), "two");
        // Pull again, to replace the existing files.
        pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_written_if_a_title_is_invalid_or_duplicate() {
        for bad in
            ["", "/etc/x", "../x", "a/../../x", "a//b", "./x", "a\\b", "a\nb", ".", ".partial-x"]
        {
            let folder = tempfile::tempdir().unwrap();
            let (store, manifest) = packed(&[("good", "x"), (bad, "y")]).await;
            let e =
                pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{bad:?}");
            assert!(
                e.thing() == Some(manifest.digest().as_str()),
                "the error names the manifest's digest: {e}"
            );
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{bad:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("same", "x"), ("same", "y")]).await;
        assert!(pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.is_err());
        let both = [("good", "x"), ("a/b", "y"), ("a", "z"), ("a.b", "")];
        let (store, manifest) = packed(&both).await;
        let e = pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "a file cannot be a folder: {e}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let (store, manifest) = packed(&[]).await;
        let none =
            pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    fn blob(content: &str, annotations: &[(&str, &str)]) -> Descriptor {
        let mut blob = Descriptor::from_bytes(MediaType::OCTET_STREAM, content.as_bytes());
        blob.annotations = annotations.iter().copied().collect();
        blob
    }

    #[tokio::test]
    async fn a_blob_without_a_title_is_named_by_its_digest_and_written_once() {
        let store = Memory::new();
        let mut pack = Pack::artifact("application/vnd.example".parse().unwrap());
        for (content, annotations) in
            [("one", &[][..]), ("two", &[(Annotations::TITLE, "two")][..]), ("one", &[][..])]
        {
            pack = pack.layer(blob(content, annotations), bytes::Bytes::from(content).into());
        }
        let packed = pack.push(&store, None).await.unwrap();
        let manifest = store.manifest(&packed.digest.into()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let paths = pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap();
        let one = "sha256-7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert_eq!(paths, [folder.path().join(one), folder.path().join("two")]);
        assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "one");
    }

    #[test]
    fn folders_are_placed_by_their_titles_and_cannot_be_nested() {
        let (title, unpack) = (Annotations::TITLE, Annotations::UNPACK);
        let folder = |path| blob(path, &[(title, path), (unpack, "true")]);
        let file = |path| blob(path, &[(title, path)]);
        let shown = |blobs: &[Descriptor], folders| {
            let placed = place_files(blobs.to_vec(), folders).ok()?;
            let shown =
                |p: &Placed| format!("{}{}", p.path.display(), if p.folder { "/" } else { "" });
            Some(placed.iter().map(shown).collect::<Vec<_>>().join(" "))
        };
        for (blobs, expected) in [
            (vec![folder("a"), file("b")], Some("a/ b")),
            (vec![folder("."), file("b")], Some("/ b")),
            (vec![folder("a"), file("a/b")], Some("a/ a/b")),
            (vec![blob("x", &[(title, "a"), (unpack, "false")])], Some("a")),
            (vec![file(".")], None),
            (vec![folder("a"), folder("a/b")], None),
            (vec![folder("."), folder("b")], None),
            (vec![file("a"), folder("a/b")], None),
            (vec![folder("..")], None),
            (vec![folder("/a")], None),
        ] {
            assert_eq!(shown(&blobs, Folders::Unpacked).as_deref(), expected, "{blobs:?}");
        }
        assert_eq!(shown(&[folder("a")], Folders::Kept).as_deref(), Some("a"));
        let dot = shown(&[folder(".")], Folders::Kept).unwrap();
        assert!(dot.starts_with("sha256-"), "an archive cannot have the name \".\": {dot}");
    }

    #[tokio::test]
    async fn a_colon_is_refused_only_on_windows() {
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("12:30.log", "x")]).await;
        let pulled = pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await;
        assert_eq!(pulled.is_ok(), !cfg!(windows), "{pulled:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn no_file_is_written_through_a_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let (store, manifest) = packed(&[("link/x", "x")]).await;
        let e = pull_files(&Arc::new(store.clone()), &manifest, folder.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
