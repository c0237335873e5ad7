//! The v1 API without async: see [`v1`](super).
//!
//! ```no_run
//! # fn example() -> longshore::Result<()> {
//! use longshore::blocking::Client;
//! use longshore_legacy::v1::blocking::Registry;
//!
//! let registry = Registry::new(&Client::new(), &"old.example:5000".parse()?);
//! for found in registry.search("busybox") {
//!     println!("{}", found?.name);
//! }
//! let repository = registry.repository(&"library/busybox".parse()?)?;
//! let id = repository.tag(&longshore::Tag::latest())?;
//! println!("{:?}", repository.image(&id).ancestry()?);
//! # Ok(())
//! # }
//! ```

use std::fmt;

use bytes::Bytes;
use longshore::blocking::{BlobStream, Client, Listing, wait};
use longshore::{Body, Digest, ParseError, RegistryName, RepositoryName, Result, Tag, forward};
use serde_json::Value;

use super::{
    Access, ApiVersion, Endpoints, Found, Image as AsyncImage, ImageId, ImageJson,
    Layer as AsyncLayer, Listed, Ping, Registry as AsyncRegistry, Repository as AsyncRepository,
    Tagged,
};

/// A registry or index that supports the v1 API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: AsyncRegistry,
}

/// Detects the API version of a registry.
///
/// # Errors
/// Same as the async [`api_version`](super::api_version).
pub fn api_version(client: &Client, registry: &RegistryName) -> Result<ApiVersion> {
    wait(super::api_version(&client.shared(), registry))
}

impl Registry {
    /// Returns a registry that is accessed through the client. Sends nothing.
    #[must_use]
    pub fn new(client: &Client, registry: &RegistryName) -> Self {
        AsyncRegistry::new(&client.shared(), registry).into()
    }

    forward! { AsyncRegistry:
        /// Pings the registry and returns its description.
        pub fn ping(&self) -> Result<Ping>;
        /// Searches the registry's repositories. Without words, lists all repositories, if the
        /// registry supports this search. See [`Registry::search`](AsyncRegistry::search).
        pub fn search(&self, words: &str) -> Listing<Found>;
        /// Returns an image. Sends nothing.
        #[must_use]
        pub fn image(&self, id: &ImageId) -> Image;
    }

    /// Returns a repository. A name of one component is in the namespace `library`. Sends nothing.
    ///
    /// # Errors
    /// Same as [`Registry::repository`](AsyncRegistry::repository).
    pub fn repository(&self, name: &RepositoryName) -> Result<Repository, ParseError> {
        self.inner.repository(name).map(Repository::from)
    }
}

impl From<AsyncRegistry> for Registry {
    fn from(inner: AsyncRegistry) -> Self {
        Self { inner }
    }
}

/// A repository of a v1 registry: tags that name images. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    inner: AsyncRepository,
}

impl Repository {
    forward! { AsyncRepository:
        /// Returns the namespace. The default is `library`.
        #[must_use]
        pub fn namespace(&self) -> &str;
        /// Returns the name within the namespace.
        #[must_use]
        pub fn name(&self) -> &str;
        /// Lists the tags, ordered by name.
        pub fn tags(&self) -> Result<Vec<Tagged>>;
        /// Returns the identifier of the image that a tag names.
        pub fn tag(&self, tag: &Tag) -> Result<ImageId>;
        /// Returns the registry's data on a tag, such as the time of the push and the client.
        pub fn tag_json(&self, tag: &Tag) -> Result<Value>;
        /// Points a tag at an image.
        pub fn set_tag(&self, tag: &Tag, id: &ImageId) -> Result<()>;
        /// Removes a tag. The image remains.
        pub fn delete_tag(&self, tag: &Tag) -> Result<()>;
        /// Removes the repository with all of its tags.
        pub fn delete(&self) -> Result<()>;
        /// Lists the images of the repository that the index has recorded.
        pub fn images(&self) -> Result<Vec<Listed>>;
        /// Returns the repository with a token from its index, at the registry that the index
        /// names. See [`Repository::authorize`](AsyncRepository::authorize).
        pub fn authorize(&self, access: Access, endpoints: Endpoints) -> Result<Self>;
        /// Returns an image that is accessed with this repository's token, if any. Sends nothing.
        #[must_use]
        pub fn image(&self, id: &ImageId) -> Image;
    }
}

impl From<AsyncRepository> for Repository {
    fn from(inner: AsyncRepository) -> Self {
        Self { inner }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// An image of a v1 registry: a JSON document and one layer. Cheap to clone.
///
/// A layer to push is a [`Body`]: bytes, or the [`stream`](longshore::blocking::stream) of a
/// reader.
#[derive(Clone, Debug)]
pub struct Image {
    inner: AsyncImage,
}

impl Image {
    forward! { AsyncImage:
        /// Returns the identifier.
        #[must_use]
        pub fn id(&self) -> &ImageId;
        /// Returns the image's JSON.
        pub fn json(&self) -> Result<ImageJson>;
        /// Returns one field of the image's JSON.
        pub fn field(&self, name: &str) -> Result<Value>;
        /// Lists the image and its ancestors, from the image to the oldest ancestor.
        pub fn ancestry(&self) -> Result<Vec<ImageId>>;
        /// Opens the image's layer.
        pub fn layer(&self) -> Result<Layer>;
        /// Pushes the image's JSON, the first step of an upload.
        pub fn push_json(&self, json: impl Into<Bytes>) -> Result<()>;
        /// Pushes the image's layer. The image's JSON must exist.
        pub fn push_layer(&self, layer: Body) -> Result<()>;
        /// Pushes the checksum of JSON and layer, the last step of an upload.
        pub fn push_checksum(&self, checksum: &Digest) -> Result<()>;
        /// Pushes the image's layer and the checksum of JSON and layer. Returns the checksum. The
        /// argument `json` is the document that was pushed before.
        pub fn complete(&self, json: &[u8], layer: Body) -> Result<Digest>;
        /// Pushes an image: its JSON, its layer, and the checksum of both. Returns the checksum.
        pub fn push(&self, json: impl Into<Bytes>, layer: Body) -> Result<Digest>;
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

/// The layer of a v1 image as pushed: a tar, usually compressed with gzip.
///
/// Dropping the layer or its reader closes the connection.
#[derive(Debug)]
pub struct Layer {
    inner: AsyncLayer,
}

impl Layer {
    /// Returns the layer's size in bytes, if the registry states it and the body has no content
    /// encoding.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    /// Returns the bytes without verification. See also [`checked`](Self::checked).
    #[must_use]
    pub fn into_reader(self) -> BlobStream {
        self.inner.into_stream().into()
    }

    /// Returns the bytes, checked against the checksum that came with the image's JSON. The stream
    /// ends with an error if the bytes do not match the checksum. See
    /// [`Layer::checked`](AsyncLayer::checked).
    ///
    /// # Errors
    /// Returns the layer itself if `json` has no checksum of a supported kind.
    pub fn checked(self, json: &ImageJson) -> Result<BlobStream, Self> {
        self.inner.checked(json).map(BlobStream::from).map_err(Self::from)
    }
}

impl From<AsyncLayer> for Layer {
    fn from(inner: AsyncLayer) -> Self {
        Self { inner }
    }
}
