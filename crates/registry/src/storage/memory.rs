//! Objects in memory: for tests, demonstrations and short-lived caches.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::{BlobStream, Error, Result};

use super::{Checkpoint, Condition, Key, Meta, Object, Part, Storage, Upload, UploadId, Version};

/// Objects in memory, lost when the process ends. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<UploadId, Vec<u8>>,
    /// The number of writes. It serves as the version of each written object.
    written: u64,
}

impl MemoryStorage {
    /// Creates an empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Each change is one insert or remove, so the maps are consistent after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn check(&self, key: &Key, condition: &Condition) -> Result<()> {
        condition.check(key, self.objects.get(key.as_str()).map(|object| &object.version))
    }

    fn put(&mut self, key: &Key, content: Bytes) -> Version {
        self.written += 1;
        let version = Version(self.written.to_string());
        let object = Object { content, version: version.clone() };
        self.objects.insert(key.as_str().to_owned(), object);
        version
    }
}

impl Object {
    fn meta(&self) -> Meta {
        Meta { size: self.content.len() as u64, version: self.version.clone() }
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStorage({} objects)", self.content().objects.len())
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn head(&self, keys: &[Key]) -> Result<Vec<Option<Meta>>> {
        let content = self.content();
        let head = |key: &Key| content.objects.get(key.as_str()).map(Object::meta);
        Ok(keys.iter().map(head).collect())
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.content().objects.get(key.as_str()).cloned())
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Part>> {
        let Some(object) = self.get(key).await? else { return Ok(None) };
        let meta = object.meta();
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match bounds {
            Some((start, end)) if start <= end && end <= object.content.len() => {
                Ok(Some(Part { meta, stream: object.content.slice(start..end).into() }))
            }
            _ => Err(Error::outside(&range, meta.size).at(key)),
        }
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Version> {
        let mut all = self.content();
        all.check(key, &condition)?;
        Ok(all.put(key, content))
    }

    async fn list(&self, folder: &Key) -> Result<Vec<String>> {
        let (content, prefix) = (self.content(), format!("{folder}/"));
        let keys = content.objects.range(prefix.clone()..).map(|(key, _)| key);
        let below = keys.map_while(|key| key.strip_prefix(&prefix));
        let mut names: Vec<_> = below.filter_map(|rest| rest.split('/').next()).collect();
        names.dedup();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.content().objects.remove(key.as_str());
        Ok(())
    }

    async fn upload(&self, id: &UploadId, from: &Checkpoint) -> Result<Box<dyn Upload>> {
        let mut content = self.content();
        let upload = content.uploads.entry(id.clone()).or_default();
        upload.truncate(usize::try_from(from.size).unwrap_or(usize::MAX));
        Ok(Box::new(MemoryUpload { id: id.clone(), storage: self.clone() }))
    }

    fn stored(&self) -> Result<Option<u64>> {
        let content = self.content();
        let objects = content.objects.iter().filter(|(key, _)| !key.starts_with("uploads/"));
        let objects = objects.map(|(_, object)| object.content.len());
        let uploads = content.uploads.values().map(Vec::len);
        Ok(Some(objects.chain(uploads).sum::<usize>() as u64))
    }
}

struct MemoryUpload {
    id: UploadId,
    storage: MemoryStorage,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        let mut content = self.storage.content();
        let upload = content.uploads.entry(self.id.clone()).or_default();
        chunks.iter().for_each(|chunk| upload.extend_from_slice(chunk));
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<String> {
        Ok(String::new())
    }

    async fn content(&mut self) -> Result<BlobStream> {
        let content = self.storage.content();
        let upload = content.uploads.get(&self.id).cloned().unwrap_or_default();
        Ok(Bytes::from(upload).into())
    }

    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version> {
        let mut content = self.storage.content();
        content.check(key, &condition)?;
        let upload = content.uploads.remove(&self.id).unwrap_or_default();
        content.put(link, Bytes::new());
        Ok(content.put(key, upload.into()))
    }

    async fn abort(&mut self) -> Result<()> {
        self.storage.content().uploads.remove(&self.id);
        Ok(())
    }
}
