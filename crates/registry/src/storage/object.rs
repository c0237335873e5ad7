//! Objects in an object store: S3, Google Cloud Storage or Azure, through the crate `object_store`.
//!
//! Owns the split of an upload into parts. All parts have the same size, as R2 requires. The
//! remaining bytes at the end of a request are stored in a separate object, the tail. A small blob
//! is written with one request. A large blob is copied within the store, because its key is known
//! only at the end. Uploads without a session record are not removed: the lifecycle rules of the
//! bucket should expire them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutPayload, PutResult, UpdateVersion,
};
use serde::{Deserialize, Serialize};

use super::{
    Checkpoint, Condition, Key, Meta, OBJECT_LIMIT, Object, Part, Storage, Upload, UploadId,
    Version, conflict,
};

/// Objects in an object store. Clones share the store.
///
/// Only one registry at a time may write to the store. Stores have no lock, so the operator must
/// ensure this. The store is expected to keep objects undamaged. Its total size cannot be
/// determined, so a limit on the total size is not supported.
#[derive(Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    sign: Option<Arc<Sign>>,
}

/// A function that creates a URL for a path in the store.
type Sign = dyn Fn(Path) -> BoxFuture<'static, object_store::Result<String>> + Send + Sync;

impl ObjectStorage {
    /// Creates a storage in a store that supports multipart uploads, as cloud stores do.
    #[must_use]
    pub fn new<S: ObjectStore + MultipartStore>(store: S) -> Self {
        let store = Arc::new(store);
        Self::with_parts(Arc::clone(&store) as _, store)
    }

    /// Creates a storage in a store with a separate implementation of multipart uploads.
    #[must_use]
    pub fn with_parts(store: Arc<dyn ObjectStore>, multipart: Arc<dyn MultipartStore>) -> Self {
        Self { store, multipart, sign: None }
    }

    /// Redirects clients that fetch blobs to the store, with the URLs that `sign` creates.
    ///
    /// With its features for cloud stores, the crate `object_store` has a `signer::Signer`, which
    /// creates such URLs for a method (`GET`) and a duration. Some minutes suffice, because the
    /// client only has to begin its download in this time.
    #[must_use]
    pub fn with_urls<F>(self, sign: impl Fn(Path) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = object_store::Result<String>> + Send + 'static,
    {
        Self { sign: Some(Arc::new(move |path| sign(path).boxed())), ..self }
    }

    async fn meta(&self, key: &Key) -> Result<Option<Meta>> {
        let meta = found(key, self.store.head(&path(key)).await)?;
        Ok(meta.as_ref().map(Meta::from))
    }

    async fn check(&self, key: &Key, condition: &Condition) -> Result<()> {
        condition.check(key, self.meta(key).await?.as_ref().map(|existing| &existing.version))
    }
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStorage({})", self.store)
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn head(&self, keys: &[Key]) -> Result<Vec<Option<Meta>>> {
        let heads: Vec<_> = keys.iter().map(|key| self.meta(key)).collect();
        stream::iter(heads).buffered(REQUESTS).try_collect().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let Some(got) = found(key, self.store.get(&path(key)).await)? else { return Ok(None) };
        if got.meta.size > OBJECT_LIMIT as u64 {
            return Err(Error::larger_than(OBJECT_LIMIT).at(key));
        }
        let version = Meta::from(&got.meta).version;
        let content = got.bytes().await.map_err(|e| failed(key, e))?;
        Ok(Some(Object { content, version }))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Part>> {
        let Some(meta) = self.meta(key).await? else { return Ok(None) };
        if range.start > range.end || range.end > meta.size {
            return Err(Error::outside(&range, meta.size).at(key));
        }
        if range.is_empty() {
            return Ok(Some(Part { meta, stream: Bytes::new().into() }));
        }
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        let got = found(key, self.store.get_opts(&path(key), options).await)?;
        Ok(got.map(|got| {
            let (meta, key) = (Meta::from(&got.meta), key.clone());
            let stream = got.into_stream().map_err(move |e| failed(&key, e));
            Part { meta, stream: BlobStream::new(stream) }
        }))
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Version> {
        let mode = match &condition {
            Condition::Always => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Unchanged(version) => PutMode::Update(version.into()),
        };
        let (path, content) = (path(key), PutPayload::from(content));
        let put = match self.store.put_opts(&path, content.clone(), mode.into()).await {
            // Stores in local folders do not support this mode, so check the condition first.
            // Another writer may still change the object after the check.
            Err(StoreError::NotImplemented { .. }) => {
                self.check(key, &condition).await?;
                self.store.put(&path, content).await
            }
            put => put,
        };
        put.map(Version::from).map_err(|e| failed(key, e))
    }

    async fn list(&self, folder: &Key) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&path(folder))).await;
        let listed = listed.map_err(|e| failed(folder, e))?;
        let objects = listed.objects.iter().map(|object| &object.location);
        let names = objects.chain(&listed.common_prefixes).filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        found(key, self.store.delete(&path(key)).await).map(drop)
    }

    async fn upload(&self, id: &UploadId, from: &Checkpoint) -> Result<Box<dyn Upload>> {
        let mut upload = ObjectUpload {
            storage: self.clone(),
            key: Key::upload(id),
            size: from.size,
            state: State::default(),
            tail: BytesMut::new(),
        };
        if !from.state.is_empty() {
            let damaged = |e| Error::new(ErrorKind::Io).at(&upload.key).with_source(e);
            upload.state = serde_json::from_str(&from.state).map_err(damaged)?;
            let tail = upload.tail_key(upload.state.tail);
            if let Some(part) = found(&tail, self.store.get(&path(&tail)).await)? {
                upload.tail = part.bytes().await.map_err(|e| failed(&tail, e))?.into();
            }
        }
        Ok(Box::new(upload))
    }

    async fn url(&self, key: &Key) -> Result<Option<String>> {
        let Some(sign) = &self.sign else { return Ok(None) };
        sign(path(key)).await.map(Some).map_err(|e| failed(key, e))
    }
}

struct ObjectUpload {
    storage: ObjectStorage,
    key: Key,
    /// The size of the upload in bytes, including the tail.
    size: u64,
    state: State,
    /// The bytes at the end of the upload that do not fill a part.
    tail: BytesMut,
}

/// The state of an upload in the store.
#[derive(Default, Serialize, Deserialize)]
struct State {
    /// The id of the multipart upload, until its parts are joined to one object under the key of
    /// the upload.
    multipart: Option<String>,
    parts: Vec<String>,
    /// The size of the upload when its tail was stored. The key of the tail contains this size.
    tail: u64,
    /// The same size for the tail of the previous checkpoint, which a stored record may still
    /// reference.
    tail_before: u64,
}

impl ObjectUpload {
    fn tail_key(&self, size: u64) -> Key {
        self.key.with_suffix(&format!(".{size}"))
    }

    /// Stores a part.
    async fn put_part(&mut self, part: Bytes) -> Result<()> {
        let (multipart, location) = (&self.storage.multipart, path(&self.key));
        let io_error = |e| failed(&self.key, e);
        let State { multipart: id, parts, .. } = &mut self.state;
        let id = match id {
            Some(id) => id,
            None => id.insert(multipart.create_multipart(&location).await.map_err(io_error)?),
        };
        let put = multipart.put_part(&location, id, parts.len(), part.into()).await;
        parts.push(put.map_err(io_error)?.content_id);
        Ok(())
    }

    /// Joins the parts to one object.
    async fn complete_parts(&mut self) -> Result<()> {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.put_part(tail).await?;
        }
        if let Some(id) = &self.state.multipart {
            let parts = self.state.parts.iter();
            let parts = parts.map(|part| PartId { content_id: part.clone() }).collect();
            let multipart = &self.storage.multipart;
            let completed = multipart.complete_multipart(&path(&self.key), id, parts).await;
            completed.map_err(|e| failed(&self.key, e))?;
            self.state.multipart = None;
        }
        Ok(())
    }

    async fn remove_tails(&self) -> Result<()> {
        for size in [self.state.tail, self.state.tail_before] {
            if size > 0 {
                self.storage.delete(&self.tail_key(size)).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        for chunk in chunks {
            self.size += chunk.len() as u64;
            self.tail.extend_from_slice(&chunk);
            while self.tail.len() >= PART {
                let part = self.tail.split_to(PART).freeze();
                self.put_part(part).await?;
            }
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<String> {
        if self.state.tail != self.size {
            if self.state.tail_before > 0 {
                self.storage.delete(&self.tail_key(self.state.tail_before)).await?;
            }
            self.state.tail_before = std::mem::replace(&mut self.state.tail, self.size);
            let (key, tail) = (self.tail_key(self.size), self.tail.clone().freeze());
            self.storage.put(&key, tail, Condition::Always).await?;
        }
        serde_json::to_string(&self.state)
            .map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))
    }

    async fn content(&mut self) -> Result<BlobStream> {
        if self.state.parts.is_empty() {
            return Ok(self.tail.clone().freeze().into());
        }
        self.complete_parts().await?;
        let whole = self.storage.get_range(&self.key, 0..self.size).await?;
        whole.map(|whole| whole.stream).ok_or_else(|| lost(&self.key))
    }

    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version> {
        let version = if self.state.parts.is_empty() {
            self.storage.put(key, self.tail.clone().freeze(), condition).await?
        } else {
            self.storage.check(key, &condition).await?;
            self.complete_parts().await?;
            let copied = self.storage.store.copy(&path(&self.key), &path(key)).await;
            copied.map_err(|e| failed(key, e))?;
            self.storage.delete(&self.key).await?;
            let copy = self.storage.meta(key).await?.filter(|meta| meta.size == self.size);
            copy.ok_or_else(|| lost(key))?.version
        };
        self.storage.put(link, Bytes::new(), Condition::Always).await?;
        self.remove_tails().await?;
        Ok(version)
    }

    async fn abort(&mut self) -> Result<()> {
        if let Some(id) = self.state.multipart.take() {
            let aborted = self.storage.multipart.abort_multipart(&path(&self.key), &id).await;
            found(&self.key, aborted)?;
        } else if !self.state.parts.is_empty() {
            self.storage.delete(&self.key).await?;
        }
        self.remove_tails().await
    }
}

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        let version = version(meta.e_tag.as_deref(), meta.version.as_deref());
        Self { size: meta.size, version }
    }
}

impl From<PutResult> for Version {
    fn from(put: PutResult) -> Self {
        version(put.e_tag.as_deref(), put.version.as_deref())
    }
}

/// Joins both values to one version, because some stores compare the entity tag and others the
/// version.
fn version(e_tag: Option<&str>, version: Option<&str>) -> Version {
    Version(format!("{}\n{}", e_tag.unwrap_or_default(), version.unwrap_or_default()))
}

impl From<&Version> for UpdateVersion {
    fn from(version: &Version) -> Self {
        let (e_tag, version) = version.0.split_once('\n').unwrap_or_default();
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self { e_tag: given(e_tag), version: given(version) }
    }
}

fn path(key: &Key) -> Path {
    Path::from(key.as_str())
}

/// Returns the result, or `None` if the object does not exist.
fn found<T>(key: &Key, result: Result<T, StoreError>) -> Result<Option<T>> {
    match result {
        Err(StoreError::NotFound { .. }) => Ok(None),
        result => result.map(Some).map_err(|e| failed(key, e)),
    }
}

fn failed(key: &Key, e: StoreError) -> Error {
    match e {
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => conflict(key),
        e => Error::new(ErrorKind::Io).at(key).with_source(e),
    }
}

fn lost(key: &Key) -> Error {
    Error::new(ErrorKind::Io).at(key).detail("the written object is missing or incomplete")
}

/// 8 MiB per part: stores require at least 5 MiB and accept 10,000 parts.
const PART: usize = 8 << 20;
/// The number of parallel requests for metadata.
const REQUESTS: usize = 16;
