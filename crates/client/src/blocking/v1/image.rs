use std::fmt;

use bytes::Bytes;
use longshore_core::{Digest, Result};
use serde_json::Value;

use super::layer::Layer;
use crate::blocking::runtime::wait;
use crate::transport::Body;
use crate::v1::{Image as AsyncImage, ImageId, ImageJson};

/// An image of a v1 registry: a JSON document and one layer. Cheap to clone.
///
/// A layer to be pushed is a [`Body`]: bytes, or the [`stream`](crate::blocking::stream) of a reader.
#[derive(Clone, Debug)]
pub struct Image {
    inner: AsyncImage,
}

impl Image {
    /// The identifier.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        self.inner.id()
    }

    /// The image's JSON.
    ///
    /// # Errors
    /// As [`Image::json`](AsyncImage::json).
    pub fn json(&self) -> Result<ImageJson> {
        wait(self.inner.json())
    }

    /// One field of the image's JSON.
    ///
    /// # Errors
    /// As [`Image::field`](AsyncImage::field).
    pub fn field(&self, name: &str) -> Result<Value> {
        wait(self.inner.field(name))
    }

    /// The images that it is made of: itself, its parent, and so on.
    ///
    /// # Errors
    /// As [`Image::ancestry`](AsyncImage::ancestry).
    pub fn ancestry(&self) -> Result<Vec<ImageId>> {
        wait(self.inner.ancestry())
    }

    /// Opens the image's layer.
    ///
    /// # Errors
    /// As [`Image::layer`](AsyncImage::layer).
    pub fn layer(&self) -> Result<Layer> {
        wait(self.inner.layer()).map(Layer::from)
    }

    /// Puts the image's JSON, which begins an upload.
    ///
    /// # Errors
    /// As [`Image::push_json`](AsyncImage::push_json).
    pub fn push_json(&self, json: impl Into<Bytes>) -> Result<()> {
        wait(self.inner.push_json(json))
    }

    /// Puts the image's layer, whose JSON is there.
    ///
    /// # Errors
    /// As [`Image::push_layer`](AsyncImage::push_layer).
    pub fn push_layer(&self, layer: Body) -> Result<()> {
        wait(self.inner.push_layer(layer))
    }

    /// Tells the registry the checksum of JSON and layer, which completes an upload.
    ///
    /// # Errors
    /// As [`Image::push_checksum`](AsyncImage::push_checksum).
    pub fn push_checksum(&self, checksum: &Digest) -> Result<()> {
        wait(self.inner.push_checksum(checksum))
    }

    /// Puts the image's layer, whose JSON is there and is this one, and the checksum of both, which is
    /// returned.
    ///
    /// # Errors
    /// As [`Image::complete`](AsyncImage::complete).
    pub fn complete(&self, json: &[u8], layer: Body) -> Result<Digest> {
        wait(self.inner.complete(json, layer))
    }

    /// Uploads an image: its JSON, its layer, and the checksum of both, which is returned.
    ///
    /// # Errors
    /// As [`Image::push`](AsyncImage::push).
    pub fn push(&self, json: impl Into<Bytes>, layer: Body) -> Result<Digest> {
        wait(self.inner.push(json, layer))
    }
}

impl From<AsyncImage> for Image {
    fn from(inner: AsyncImage) -> Self {
        Self { inner }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
