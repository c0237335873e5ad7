//! Blobs: links from repositories, verified content, and deletion.
//!
//! A blob is one object, with a link from each repository that has it. A blob that is found to be
//! damaged, or a link without its blob, counts as missing, so that the next push repairs it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::try_join;
use futures_util::{TryStreamExt as _, stream};
use longshore_core::{
    Algorithm, BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, MediaType,
    RepositoryName, Result,
};

use super::{Repository, Shared};
use crate::locks::Locks;
use crate::storage::{Condition, Key, Meta, Part, Version};

/// The verified blobs, and the locks for changes.
pub(super) struct Blobs {
    /// The last verified version of each blob.
    known: Mutex<HashMap<Digest, Version>>,
    /// Serializes changes to a blob and its links, so that no link is created to a blob that is
    /// being deleted.
    changing: Locks<tokio::sync::Mutex<()>>,
}

/// The state of the object under a blob's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No object, or an object with other content.
    Nothing,
    /// The blob, with its size in bytes. It was verified since it was last written, or the storage
    /// prevents damage.
    Intact(u64),
    /// An object too large to verify now, with its size in bytes.
    Unchecked(u64),
}

impl Blobs {
    pub(super) fn new() -> Self {
        Self { known: Mutex::default(), changing: Locks::new() }
    }

    /// Locks a blob for changes.
    pub(super) async fn change(&self, digest: &Digest) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.of(digest).lock().await
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Version>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Checks the object under a blob's digest. Verifies its content if it has at most `limit`
    /// bytes.
    pub(super) async fn look(&self, digest: &Digest, limit: u64) -> Result<Found> {
        let meta = self.objects.head(&Key::blob(digest)).await?;
        self.check(digest, meta, limit).await
    }

    async fn check(&self, digest: &Digest, meta: Option<Meta>, limit: u64) -> Result<Found> {
        let Some(meta) = meta else { return Ok(Found::Nothing) };
        if self.is_verified(digest, &meta.version) {
            return Ok(Found::Intact(meta.size));
        }
        if meta.size > limit {
            return Ok(Found::Unchecked(meta.size));
        }
        let Some(algorithm) = digest.algorithm() else { return Ok(Found::Nothing) };
        let (key, all) = (Key::blob(digest), 0..meta.size);
        let Some(whole) = self.objects.storage.get_range(&key, all).await? else {
            return Ok(Found::Nothing);
        };
        if digest_of(whole.stream, algorithm).await? != *digest {
            tracing::warn!(%digest, "a stored blob is damaged");
            return Ok(Found::Nothing);
        }
        self.remember(digest, whole.meta.version);
        Ok(Found::Intact(meta.size))
    }

    /// Returns true if this version of a blob was verified, or if the storage prevents damage.
    fn is_verified(&self, digest: &Digest, version: &Version) -> bool {
        !self.objects.storage.decays() || self.blobs.known().get(digest) == Some(version)
    }

    /// Records this version of a blob as verified.
    pub(super) fn remember(&self, digest: &Digest, version: Version) {
        if self.objects.storage.decays() {
            let mut known = self.blobs.known();
            if known.len() >= KNOWN_LIMIT {
                known.clear();
            }
            known.insert(digest.clone(), version);
        }
    }

    /// Returns true if a repository other than `name` has a link to this blob.
    async fn is_linked_elsewhere(&self, digest: &Digest, name: &RepositoryName) -> Result<bool> {
        let names = self.names.get(self.scan_names()).await?;
        let others = names.iter().filter(|other| *other != name);
        let links: Vec<Key> = others.map(|other| Key::link(other, digest)).collect();
        Ok(self.objects.storage.head(&links).await?.iter().any(Option::is_some))
    }
}

impl Repository {
    /// Returns the size of a blob if it is linked to this repository and not known to be damaged.
    /// Verifies its content if it has at most `limit` bytes.
    pub(super) async fn look(&self, digest: &Digest, limit: u64) -> Result<Option<u64>> {
        let keys = [Key::link(&self.name, digest), Key::blob(digest)];
        let heads = self.shared.objects.storage.head(&keys).await?;
        let [Some(_), blob] = &heads[..] else { return Ok(None) };
        Ok(match self.shared.check(digest, blob.clone(), limit).await? {
            Found::Intact(size) | Found::Unchecked(size) => Some(size),
            Found::Nothing => None,
        })
    }

    /// Links a stored blob to this repository. The caller must hold the blob's lock.
    pub(super) async fn link(&self, digest: &Digest) -> Result<()> {
        let link = Key::link(&self.name, digest);
        match self.shared.objects.storage.put(&link, Bytes::new(), Condition::Absent).await {
            Err(e) if e.kind() != ErrorKind::Conflict => return Err(e),
            _ => self.shared.names.added(&self.name),
        }
        Ok(())
    }

    pub(super) async fn mount_now(
        self,
        digest: Digest,
        from: Option<RepositoryName>,
    ) -> Result<bool> {
        let _changing = self.shared.blobs.change(&digest).await;
        if let Some(from) = from
            && !self.shared.objects.has(&Key::link(&from, &digest)).await?
        {
            return Ok(false);
        }
        if self.shared.look(&digest, CHECK_LIMIT).await? == Found::Nothing {
            return Ok(false);
        }
        self.link(&digest).await?;
        Ok(true)
    }

    /// Removes the link to a blob. If it is the last link, deletes the blob first. Otherwise, a
    /// crash between the two steps could leave a blob without links, which would never be deleted.
    pub(super) async fn delete_blob_now(self, digest: Digest) -> Result<()> {
        let (shared, link) = (&self.shared, Key::link(&self.name, &digest));
        let _changing = shared.blobs.change(&digest).await;
        if !shared.objects.has(&link).await? {
            return Err(no_blob(&digest));
        }
        if !shared.is_linked_elsewhere(&digest, &self.name).await? {
            shared.blobs.known().remove(&digest);
            shared.objects.remove(&Key::blob(&digest)).await?;
        }
        shared.objects.storage.delete(&link).await
    }

    /// Reads a blob or a part of it. A verified blob, or a part of any blob, is read without
    /// checks. A whole unverified blob is verified while it streams, and its last chunk is withheld
    /// until the digest matches.
    pub(super) async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<BlobStream> {
        let (link, key) = (Key::link(&self.name, digest), Key::blob(digest));
        let part = self.shared.objects.storage.get_range(&key, range.clone());
        let (true, Some(Part { meta, stream })) =
            try_join(self.shared.objects.has(&link), part).await?
        else {
            return Err(no_blob(digest));
        };
        if range != (0..meta.size) || self.shared.is_verified(digest, &meta.version) {
            return Ok(stream);
        }
        let whole = Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), meta.size);
        let reader = BlobReader::new(whole, stream)?;
        let (shared, digest) = (Arc::clone(&self.shared), digest.clone());
        let checked = stream::try_unfold(reader, move |mut reader| {
            let (shared, digest) = (Arc::clone(&shared), digest.clone());
            let version = meta.version.clone();
            async move {
                let chunk = reader.try_next().await?;
                if chunk.is_none() {
                    shared.remember(&digest, version);
                }
                Ok(chunk.map(|chunk| (chunk, reader)))
            }
        });
        Ok(BlobStream::new(checked))
    }
}

/// Computes the digest of a stream.
pub(super) async fn digest_of(mut stream: BlobStream, algorithm: Algorithm) -> Result<Digest> {
    let mut digester = algorithm.digester();
    while let Some(chunk) = stream.try_next().await? {
        digester.update(&chunk);
    }
    Ok(digester.finish())
}

pub(super) fn no_blob(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound).at(format!("blob {digest}"))
}

/// 64 MiB, which takes about 50 ms to hash: a client that checks whether a blob exists waits for
/// the hash.
pub(super) const CHECK_LIMIT: u64 = 64 << 20;
/// 65,536 entries, which take about 10 MB of memory. At the limit, all entries are removed and
/// blobs are verified again.
const KNOWN_LIMIT: usize = 1 << 16;
