//! Opens repositories at registries.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{Delete, Result, Source, TagOrDigest, Target};

use super::{Reader, Writer};
use crate::location::ImageName;
use crate::repository::RemoteRepository;

#[async_trait]
impl Reader for RemoteRepository {
    fn source(&self, _: Option<&ImageName>) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    fn delete(&self, _: Option<&ImageName>) -> Option<Arc<dyn Delete>> {
        Some(Arc::new(self.clone()))
    }

    async fn find(&self, _: Option<&ImageName>) -> Result<Option<TagOrDigest>> {
        Ok(None)
    }
}

impl Writer for RemoteRepository {
    fn target(&self, _: Option<&ImageName>) -> Arc<dyn Target> {
        Arc::new(self.clone())
    }
}
