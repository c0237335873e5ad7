//! The first bytes of a blob, which stay when their writer ends, so that the next writer of the
//! blob continues there.

use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;

use super::locked_file::LockedFile;
use super::temp_file::{TempFile, publish};
use super::{TEMP_PREFIX, hash, parent, write_chunks};
use crate::blob::BlobBody;
use crate::descriptor::Descriptor;
use crate::digest::{Digest, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::run_blocking::run_blocking;

/// A file for the first bytes of a blob, whose name is derived from the digest.
pub(super) struct PartialBlob {
    file: LockedFile,
}

impl PartialBlob {
    /// Opens or creates the file for a blob in `folder`.
    ///
    /// Returns `None` if another writer is writing the blob, or if the file cannot be locked.
    pub(super) fn open(folder: &Path, digest: &Digest) -> Option<Self> {
        let path = folder.join(format!("{TEMP_PREFIX}{}", digest.file_name()));
        Some(Self { file: LockedFile::open(path)? })
    }

    /// Completes the blob, continuing after the bytes that are in the file.
    ///
    /// # Errors
    /// The errors of the body; [`Io`](ErrorKind::Io). The bytes that were written are kept, except
    /// after a mismatch.
    pub(super) async fn complete(
        &self,
        descriptor: &Descriptor,
        body: &mut BlobBody,
    ) -> Result<()> {
        let kept = self.hash_kept(descriptor).await?;
        let is_resumed = kept.seen() > 0;
        match self.write(descriptor, kept, body).await {
            // The bytes in the file may be damaged, for example after a power failure. Some servers
            // refuse all requests for a part of a blob.
            Err(e) if is_resumed && (is_mismatch(&e) || refuses_ranges(&e)) => {
                tracing::debug!(path = %self.file.path().display(), error = %e, "starting the blob again");
                let fresh = Verifier::new(&descriptor.digest, descriptor.size)?;
                self.write(descriptor, fresh, body).await
            }
            written => written,
        }
    }

    /// Writes the bytes after those that the verifier has seen, and checks the whole blob.
    async fn write(
        &self,
        descriptor: &Descriptor,
        verifier: Verifier,
        body: &mut BlobBody,
    ) -> Result<()> {
        let at = |e| Error::io(self.file.path(), e);
        let offset = verifier.seen();
        self.file.file().set_len(offset).map_err(at)?;
        let mut file = self.file.file().try_clone().map_err(at)?;
        file.seek(SeekFrom::Start(offset)).map_err(at)?;
        let written = match body.open_after(descriptor, verifier).await {
            Ok(reader) => write_chunks(file, self.file.path(), reader).await,
            Err(e) => Err(e),
        };
        if written.as_ref().is_err_and(is_mismatch) {
            self.file.file().set_len(0).map_err(at)?;
        }
        written
    }

    /// Hashes the bytes in the file. A file that is larger than the blob counts as empty.
    async fn hash_kept(&self, descriptor: &Descriptor) -> Result<Verifier> {
        let (file, path) = (self.file.file().try_clone(), self.file.path().to_owned());
        let (digest, size) = (descriptor.digest.clone(), descriptor.size);
        run_blocking(move || {
            let at = |e| Error::io(&path, e);
            let mut file = file.map_err(at)?;
            file.rewind().map_err(at)?;
            let mut verifier = Verifier::new(&digest, size)?;
            match hash(&path, &file, &mut verifier) {
                Ok(()) => Ok(verifier),
                Err(e) if is_mismatch(&e) => Verifier::new(&digest, size),
                Err(e) => Err(e),
            }
        })
        .await
    }

    /// Syncs the file and renames it to `path`. The name is durable once its folder is synced.
    pub(super) fn name(self, path: &Path) -> Result<()> {
        let at = |e| Error::io(path, e);
        publish(self.file.file()).map_err(at)?;
        let renamed = match self.file.is_in_place() {
            true => std::fs::rename(self.file.path(), path),
            // Another program removed or replaced the name.
            false => Err(io::ErrorKind::NotFound.into()),
        };
        match renamed {
            // The folder of the blobs may be on another file system.
            Err(e)
                if matches!(e.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::NotFound) =>
            {
                let mut copy = TempFile::create(parent(path)?)?;
                let mut file = self.file.file();
                file.rewind().map_err(at)?;
                io::copy(&mut file, &mut copy).map_err(at)?;
                copy.name(path)?;
                self.file.remove().map_err(at)
            }
            renamed => renamed.map_err(at),
        }
    }
}

/// Returns the digest of the blob whose first bytes a file has, if the name of the file states it.
pub(super) fn digest_of(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?.strip_prefix(TEMP_PREFIX)?;
    let (algorithm, hex) = name.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

fn refuses_ranges(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 403 | 405 | 501)) || error.kind() == ErrorKind::Unsupported
}

fn is_mismatch(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DigestMismatch | ErrorKind::SizeMismatch)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;

    use super::*;
    use crate::blob_file::{RESUMABLE_SIZE, write_resumably};
    use crate::media_type::MediaType;

    struct Case {
        folder: tempfile::TempDir,
        content: Vec<u8>,
        descriptor: Descriptor,
    }

    impl Case {
        fn new() -> Self {
            let content: Vec<u8> =
                (0..RESUMABLE_SIZE as usize + 100).map(|i| ((i * 31) >> 4) as u8).collect();
            let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, &content);
            Self { folder: tempfile::tempdir().unwrap(), content, descriptor }
        }

        fn partial(&self) -> PathBuf {
            self.folder.path().join(format!("{TEMP_PREFIX}{}", self.descriptor.digest.file_name()))
        }

        /// Writes the blob, and returns the offset of each read of the body.
        async fn write(&self, content: &[u8]) -> (Result<()>, Vec<u64>) {
            let offsets = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&offsets);
            let mut body = BlobBody::from(Bytes::copy_from_slice(content))
                .on_progress(move |p| seen.lock().unwrap().push(p.done - p.chunk));
            let (folder, path) = (self.folder.path(), self.folder.path().join("blob"));
            let result = write_resumably(&path, folder, &self.descriptor, &mut body).await;
            let offsets = offsets.lock().unwrap().clone();
            (result, offsets)
        }

        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.folder.path()).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_blob_continues_after_the_bytes_of_an_earlier_writer() {
        for kept in [1, 1000, RESUMABLE_SIZE as usize + 99] {
            let case = Case::new();
            std::fs::write(case.partial(), &case.content[..kept]).unwrap();
            let (result, offsets) = case.write(&case.content).await;
            result.unwrap();
            assert_eq!(offsets, [kept as u64]);
            assert_eq!(case.files(), ["blob"]);
            assert_eq!(std::fs::read(case.folder.path().join("blob")).unwrap(), case.content);
        }
        let case = Case::new();
        std::fs::write(case.partial(), &case.content).unwrap();
        let (result, offsets) = case.write(&case.content).await;
        result.unwrap();
        assert_eq!(offsets, [0; 0], "a complete file needs no read of the body");
        assert_eq!(case.files(), ["blob"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn damaged_bytes_of_an_earlier_writer_are_replaced() {
        let case = Case::new();
        let too_long = [&case.content[..], b"x"].concat();
        let mut damaged = case.content[..1000].to_vec();
        damaged[7] ^= 1;
        for (kept, expected) in [(&damaged, vec![1000, 0]), (&too_long, vec![0])] {
            std::fs::write(case.partial(), kept).unwrap();
            let (result, offsets) = case.write(&case.content).await;
            result.unwrap();
            assert_eq!(offsets, expected);
            assert_eq!(std::fs::read(case.folder.path().join("blob")).unwrap(), case.content);
        }
    }

    #[tokio::test]
    async fn wrong_content_leaves_no_file() {
        let case = Case::new();
        let mut wrong = case.content.clone();
        wrong[7] ^= 1;
        let (result, offsets) = case.write(&wrong).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::DigestMismatch);
        assert_eq!(offsets, [0]);
        assert!(case.files().is_empty());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_another_writer_uses_is_not_touched() {
        let case = Case::new();
        std::fs::write(case.partial(), "other").unwrap();
        let other = PartialBlob::open(case.folder.path(), &case.descriptor.digest).unwrap();
        let (result, offsets) = case.write(&case.content).await;
        result.unwrap();
        assert_eq!(offsets, [0]);
        assert_eq!(std::fs::read(case.folder.path().join("blob")).unwrap(), case.content);
        assert_eq!(std::fs::read(case.partial()).unwrap(), b"other");
        drop(other);
        assert_eq!(case.files().len(), 2, "a file that is not empty stays");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_body_without_content_leaves_no_file() {
        let case = Case::new();
        let mut body = BlobBody::mount("r.example/a".parse().unwrap());
        let path = case.folder.path().join("blob");
        let e = write_resumably(&path, case.folder.path(), &case.descriptor, &mut body).await;
        assert_eq!(e.unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(case.files().is_empty());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_with_another_name_is_not_changed() {
        let case = Case::new();
        let other = case.folder.path().join("other");
        std::fs::write(&other, "other").unwrap();
        std::fs::hard_link(&other, case.partial()).unwrap();
        case.write(&case.content).await.0.unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"other");
        assert_eq!(std::fs::read(case.folder.path().join("blob")).unwrap(), case.content);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_complete_file_gets_its_final_name_even_if_its_own_name_was_replaced() {
        let case = Case::new();
        let partial = PartialBlob::open(case.folder.path(), &case.descriptor.digest).unwrap();
        let mut body = BlobBody::from(Bytes::from(case.content.clone()));
        partial.complete(&case.descriptor, &mut body).await.unwrap();
        std::fs::remove_file(case.partial()).unwrap();
        std::fs::write(case.partial(), "other").unwrap();
        let path = case.folder.path().join("blob");
        partial.name(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), case.content);
        assert_eq!(std::fs::read(case.partial()).unwrap(), b"other");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_at_the_name_of_the_file_is_not_followed() {
        let case = Case::new();
        let victim = case.folder.path().join("victim");
        std::fs::write(&victim, "abc").unwrap();
        std::os::unix::fs::symlink(&victim, case.partial()).unwrap();
        assert!(PartialBlob::open(case.folder.path(), &case.descriptor.digest).is_none());
        assert_eq!(std::fs::read(&victim).unwrap(), b"abc");
    }
}
