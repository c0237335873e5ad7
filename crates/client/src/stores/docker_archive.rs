//! Opens docker-archives: tar files in the format of `docker save`.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{Delete, Reference, Result, Source, TagOrDigest, Target};
use longshore_image::{DockerArchive, DockerArchiveWriter};

use super::{Reader, Writer, standard_streams};
use crate::location::ImageName;

pub(super) async fn open(path: &Path) -> Result<DockerArchive> {
    match standard_streams::input(path)? {
        Some(stdin) => DockerArchive::read(stdin).await,
        None => DockerArchive::open(path).await,
    }
}

pub(super) async fn create(path: &Path) -> Result<DockerArchiveWriter> {
    match standard_streams::output(path)? {
        Some(stdout) => DockerArchiveWriter::stream(stdout, None).await,
        None => DockerArchiveWriter::create(path, None).await,
    }
}

#[async_trait]
impl Reader for DockerArchive {
    fn source(&self, name: Option<&ImageName>) -> Arc<dyn Source> {
        Arc::new(match name {
            Some(ImageName::Reference(name)) => self.clone().within(name.repository().clone()),
            _ => self.clone(),
        })
    }

    fn delete(&self, _: Option<&ImageName>) -> Option<Arc<dyn Delete>> {
        None
    }

    async fn find(&self, name: Option<&ImageName>) -> Result<Option<TagOrDigest>> {
        let found = match name {
            Some(ImageName::Reference(reference)) => self.selector(reference),
            Some(ImageName::Position(position)) => self.image_at(*position),
            _ => self.only_image(),
        };
        found.map(Some)
    }

    fn references(&self) -> Vec<Reference> {
        Self::references(self).cloned().collect()
    }

    fn names_of(&self, image: &TagOrDigest) -> Vec<Reference> {
        let images = self.images().filter(|(digest, _)| digest == image);
        let mut names: Vec<Reference> = images.flat_map(|(_, names)| names).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Writer for DockerArchiveWriter {
    fn target(&self, name: Option<&ImageName>) -> Arc<dyn Target> {
        Arc::new(match name {
            Some(ImageName::Reference(name)) => self.within(name.repository().clone()),
            _ => self.clone(),
        })
    }
}
