//! Opens OCI image layouts in tar files.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{Delete, Result, Source, Tag, TagOrDigest, Target};
use longshore_image::{OciArchive, OciArchiveWriter};

use super::{ListedImage, Reader, Writer, layout, standard_streams};
use crate::location::ImageName;

pub(super) async fn open(path: &Path) -> Result<OciArchive> {
    match standard_streams::input(path)? {
        Some(stdin) => OciArchive::read(stdin).await,
        None => OciArchive::open(path).await,
    }
}

pub(super) async fn create(path: &Path) -> Result<OciArchiveWriter> {
    match standard_streams::output(path)? {
        Some(stdout) => OciArchiveWriter::stream(stdout).await,
        None => OciArchiveWriter::create(path).await,
    }
}

#[async_trait]
impl Reader for OciArchive {
    fn source(&self, name: Option<&ImageName>) -> Arc<dyn Source> {
        Arc::new(layout::view(self, name, Self::under))
    }

    fn delete(&self, _: Option<&ImageName>) -> Option<Arc<dyn Delete>> {
        None
    }

    async fn find(&self, _: Option<&ImageName>) -> Result<Option<TagOrDigest>> {
        self.only_manifest().map(Some)
    }

    async fn tags(&self, _: Option<&ImageName>) -> Result<Vec<Tag>> {
        layout::tags(self.entries())
    }

    async fn names(&self, _: Option<&ImageName>) -> Result<Vec<ListedImage>> {
        Ok(layout::names(self.entries()))
    }
}

impl Writer for OciArchiveWriter {
    fn target(&self, name: Option<&ImageName>) -> Arc<dyn Target> {
        Arc::new(layout::view(self, name, Self::under))
    }
}
