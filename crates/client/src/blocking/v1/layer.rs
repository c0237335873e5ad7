use longshore_core::Result;

use crate::blocking::blob::BlobStream;
use crate::v1::{ImageJson, Layer as AsyncLayer};

/// The layer of a v1 image on its way: a tar, mostly of gzip.
///
/// Dropping it, or its reader, closes the connection.
#[derive(Debug)]
pub struct Layer {
    inner: AsyncLayer,
}

impl Layer {
    /// Its size in bytes, where the registry states it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    /// The bytes, as they come. Nothing tells whether they are right: see [`checked`](Self::checked).
    #[must_use]
    pub fn into_reader(self) -> BlobStream {
        self.inner.into_stream().into()
    }

    /// The bytes, held against the checksum that came with the image's JSON: their end is not shown
    /// before they are right. See [`Layer::checked`](AsyncLayer::checked).
    ///
    /// # Errors
    /// The layer itself, where no checksum came that can be computed.
    pub fn checked(self, json: &ImageJson) -> Result<BlobStream, Self> {
        self.inner.checked(json).map(BlobStream::from).map_err(Self::from)
    }
}

impl From<AsyncLayer> for Layer {
    fn from(inner: AsyncLayer) -> Self {
        Self { inner }
    }
}
