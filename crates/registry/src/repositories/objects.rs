//! Small objects and their sizes.

use std::sync::Arc;

use bytes::Bytes;
use longshore_core::Result;
use tokio::sync::Mutex;

use super::space::Space;
use crate::locks::Locks;
use crate::storage::{Condition, Key, Meta, Storage};

/// The objects of a storage. Their sizes are counted if there is a limit.
pub(super) struct Objects {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) space: Space,
    /// Serializes changes to an object, so that its size is counted correctly.
    changing: Locks<Mutex<()>>,
}

impl Objects {
    pub(super) fn new(storage: Arc<dyn Storage>, space: Space) -> Self {
        Self { storage, space, changing: Locks::new() }
    }

    /// Writes objects in this order if there is enough space for all of them.
    pub(super) async fn put(&self, objects: Vec<(Key, Bytes)>) -> Result<()> {
        let mut room = 0;
        for (key, content) in &objects {
            room += (content.len() as u64).saturating_sub(self.size(key).await?);
        }
        let mut held = self.space.take(room)?;
        for (key, content) in objects {
            let _changing = self.changing.of(&key).lock().await;
            let (before, after) = (self.size(&key).await?, content.len() as u64);
            self.storage.put(&key, content, Condition::Always).await?;
            held.replace(before, after);
        }
        Ok(())
    }

    /// Removes an object.
    pub(super) async fn remove(&self, key: &Key) -> Result<()> {
        let _changing = self.changing.of(key).lock().await;
        let size = self.size(key).await?;
        self.storage.delete(key).await?;
        self.space.freed(size);
        Ok(())
    }

    /// Returns the size of an object in bytes, or 0 if it does not exist or sizes are not counted.
    pub(super) async fn size(&self, key: &Key) -> Result<u64> {
        if !self.space.is_counted() {
            return Ok(0);
        }
        Ok(self.head(key).await?.map_or(0, |meta| meta.size))
    }

    /// Returns the size and version of an object.
    pub(super) async fn head(&self, key: &Key) -> Result<Option<Meta>> {
        let heads = self.storage.head(std::slice::from_ref(key)).await?;
        Ok(heads.into_iter().next().flatten())
    }

    /// Returns true if an object exists.
    pub(super) async fn has(&self, key: &Key) -> Result<bool> {
        Ok(self.head(key).await?.is_some())
    }
}
