//! A layer to be added: its origin and its digests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_core::{
    BlobBody, Descriptor, Digest, MediaType, Result, Source, SourceExt as _, Target, blob_file,
};

use crate::compression::{Compression, UnpackLimits};
use crate::layer::{UnpackResult, measure_tar};

/// A layer whose digests and sizes are known, because it was already read.
pub(super) struct NewLayer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) unpacked: UnpackResult,
    origin: Origin,
}

enum Origin {
    File(PathBuf),
    Store(Arc<dyn Source>),
}

impl NewLayer {
    pub(super) async fn from_file(path: &Path, limits: UnpackLimits) -> Result<Self> {
        let descriptor = blob_file::describe(path, MediaType::OCTET_STREAM, None).await?;
        let reader = BlobBody::file(path).open(&descriptor).await?;
        let unpacked = measure_tar(reader, limits).await.map_err(|e| e.at(path.display()))?;
        Ok(Self::new(descriptor, unpacked, Origin::File(path.to_owned())))
    }

    pub(super) async fn from_blob(
        source: Arc<dyn Source>,
        digest: &Digest,
        limits: UnpackLimits,
    ) -> Result<Self> {
        let descriptor = source.describe_blob(digest).await?;
        let unpacked = measure_tar(source.blob(&descriptor).await?, limits).await?;
        Ok(Self::new(descriptor, unpacked, Origin::Store(source)))
    }

    fn new(descriptor: Descriptor, unpacked: UnpackResult, origin: Origin) -> Self {
        Self { digest: descriptor.digest, size: descriptor.size, unpacked, origin }
    }

    /// Returns the layer's descriptor, with Docker's or OCI's media type.
    pub(super) fn descriptor(&self, docker: bool) -> Descriptor {
        let media_type = match (self.unpacked.compression, docker) {
            (Compression::None, false) => MediaType::OCI_LAYER,
            (Compression::Gzip, false) => MediaType::OCI_LAYER_GZIP,
            (Compression::Zstd, false) => MediaType::OCI_LAYER_ZSTD,
            (Compression::None, true) => MediaType::DOCKER_LAYER,
            (Compression::Gzip, true) => MediaType::DOCKER_LAYER_GZIP,
            (Compression::Zstd, true) => MediaType::DOCKER_LAYER_ZSTD,
        };
        Descriptor::new(media_type, self.digest.clone(), self.size)
    }

    /// Writes the layer to `target`, unless `target` already has it.
    pub(super) async fn push(
        &self,
        descriptor: &Descriptor,
        target: &Arc<dyn Target>,
    ) -> Result<()> {
        let body = match &self.origin {
            Origin::File(path) => BlobBody::file(path),
            Origin::Store(source) => BlobBody::source(Arc::clone(source)),
        };
        target.ensure_blob(descriptor, body).await.map(drop)
    }
}
