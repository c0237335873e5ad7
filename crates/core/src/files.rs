//! Files in a manifest: listed by their titles, and written to a folder.
//!
//! Owns which titles are safe as paths. How files get into a manifest is the business of `pack`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::annotations::Annotations;
use crate::blob_file;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, RawManifest};
use crate::offload::offload;
use crate::store::Source;

/// The blobs that a manifest lists besides its config: an artifact's files, an image's layers.
///
/// A file's name is its annotation [`TITLE`](Annotations::TITLE), which is anything that its author
/// wrote.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the manifest cannot be read;
/// [`Unsupported`](ErrorKind::Unsupported) if it is an index or of an unknown kind.
pub fn files_of(manifest: &RawManifest) -> Result<Vec<Descriptor>> {
    match manifest.parse()? {
        Manifest::Image(image) => Ok(image.layers),
        Manifest::Artifact(artifact) => Ok(artifact.blobs),
        _ => Err(Error::new(ErrorKind::Unsupported)
            .at(manifest.digest())
            .detail(format!("{} lists no files", manifest.media_type()))),
    }
}

/// Writes the files that a manifest lists to a folder, each under its title; returns their paths.
///
/// A title may lead into folders below, which are made. All titles are checked before anything is
/// written; no file is written through a symbolic link. Each file shows only when all of it is there
/// and verified, and takes the place of one that was there. Blobs without a title are left out.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if nothing has a title; [`Invalid`](ErrorKind::Invalid) for a
/// title that is no path below the folder, or comes twice; [`Io`](ErrorKind::Io); the source's error.
pub async fn pull_files(
    source: &(impl Source + ?Sized),
    manifest: &RawManifest,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let files = files_of(manifest)?;
    let mut paths = BTreeSet::new();
    let mut wanted = Vec::new();
    for file in &files {
        let Some(title) = file.annotations.get(Annotations::TITLE) else { continue };
        let bad = |reason: &str| {
            let clause = format!("the title {title:?}: {reason}");
            Err(Error::new(ErrorKind::Invalid).at(manifest.digest()).detail(clause))
        };
        let path = match below(title) {
            Ok(path) => path,
            Err(reason) => return bad(reason),
        };
        if !paths.insert(path.clone()) {
            return bad("two files have it");
        }
        wanted.push((file, path));
    }
    for path in &paths {
        if let Some(above) = path.ancestors().skip(1).find(|above| paths.contains(*above)) {
            return Err(Error::new(ErrorKind::Invalid)
                .at(manifest.digest())
                .detail(format!("the title {above:?} is a file's, and a folder's too")));
        }
    }
    if wanted.is_empty() {
        return Err(Error::new(ErrorKind::NotFound)
            .at(manifest.digest())
            .detail(format!("none of its {} blobs has a title to be a file by", files.len()))
            .with_hint("Read one by its digest instead: `longshore blob get`."));
    }
    stream::iter(wanted)
        .map(|(file, path)| pull_file(source, file, folder, path))
        .buffered(PARALLEL)
        .try_collect()
        .await
}

async fn pull_file(
    source: &(impl Source + ?Sized),
    file: &Descriptor,
    folder: &Path,
    path: PathBuf,
) -> Result<PathBuf> {
    let target = std::path::absolute(folder).map_err(|e| Error::io(folder, e))?.join(&path);
    let (root, made) = (folder.to_owned(), target.clone());
    offload(move || {
        no_link_between(&root, &path)?;
        let above = made.parent().unwrap_or(&root);
        std::fs::create_dir_all(above).map_err(|e| Error::io(above, e))
    })
    .await?;
    blob_file::write(&target, source.blob(file).await?).await?;
    Ok(target)
}

/// A title as a path below a folder; else what is wrong with it.
///
/// Backslashes are refused everywhere, as they lead elsewhere on Windows; colons are where they do.
fn below(title: &str) -> Result<PathBuf, &'static str> {
    if title.is_empty() {
        return Err("it is empty");
    }
    if title.contains('\\') || title.chars().any(char::is_control) {
        return Err("backslashes and control characters are no part of a safe path");
    }
    if cfg!(windows) && title.contains(':') {
        return Err("a colon is no part of a path on Windows");
    }
    if title.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("expected a path below the folder, without \"..\" and empty parts");
    }
    Ok(title.into())
}

/// Checks that no folder on the way to a file is a symbolic link.
fn no_link_between(root: &Path, path: &Path) -> Result<()> {
    let mut place = root.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        place.push(part);
        if std::fs::symlink_metadata(&place).is_ok_and(|there| there.is_symlink()) {
            return Err(Error::new(ErrorKind::Invalid)
                .at(place.display())
                .detail("a symbolic link is in the way of a file"));
        }
    }
    Ok(())
}

/// Files on their way at once.
const PARALLEL: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
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
    async fn files_come_back_under_their_titles() {
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("a.txt", "one"), ("deep/er/b.txt", "two")]).await;
        let paths = pull_files(&store, &manifest, folder.path()).await.unwrap();
        assert_eq!(paths, [folder.path().join("a.txt"), folder.path().join("deep/er/b.txt")]);
        assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), "two");
        // Again, over what is there.
        pull_files(&store, &manifest, folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn titles_that_lead_out_write_nothing() {
        for bad in ["", "/etc/x", "../x", "a/../../x", "a//b", "./x", "a\\b", "a\nb", "."] {
            let folder = tempfile::tempdir().unwrap();
            let (store, manifest) = packed(&[("good", "x"), (bad, "y")]).await;
            let e = pull_files(&store, &manifest, folder.path()).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid, "{bad:?}");
            assert!(e.thing() == Some(manifest.digest().as_str()), "not what a user typed: {e}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{bad:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("same", "x"), ("same", "y")]).await;
        assert!(pull_files(&store, &manifest, folder.path()).await.is_err());
        let both = [("good", "x"), ("a/b", "y"), ("a", "z"), ("a.b", "")];
        let (store, manifest) = packed(&both).await;
        let e = pull_files(&store, &manifest, folder.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "a file cannot be a folder: {e}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let (store, manifest) = packed(&[]).await;
        let none = pull_files(&store, &manifest, folder.path()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_colon_leads_elsewhere_on_windows_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest) = packed(&[("12:30.log", "x")]).await;
        let pulled = pull_files(&store, &manifest, folder.path()).await;
        assert_eq!(pulled.is_ok(), !cfg!(windows), "{pulled:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn no_file_is_written_through_a_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let (store, manifest) = packed(&[("link/x", "x")]).await;
        let e = pull_files(&store, &manifest, folder.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
