use std::fmt;

use longshore_core::{Result, Tag};
use serde_json::Value;

use super::image::Image;
use crate::blocking::runtime::wait;
use crate::v1::{Access, Endpoints, ImageId, Listed, Repository as AsyncRepository, Tagged};

/// A repository of a v1 registry: tags that name images. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    inner: AsyncRepository,
}

impl Repository {
    /// The namespace, `library` where none was given.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    /// The name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The tags, ordered by name.
    ///
    /// # Errors
    /// As [`Repository::tags`](AsyncRepository::tags).
    pub fn tags(&self) -> Result<Vec<Tagged>> {
        wait(self.inner.tags())
    }

    /// The image that a tag names.
    ///
    /// # Errors
    /// As [`Repository::tag`](AsyncRepository::tag).
    pub fn tag(&self, tag: &Tag) -> Result<ImageId> {
        wait(self.inner.tag(tag))
    }

    /// What the registry knows of a tag: when it was set, and by what.
    ///
    /// # Errors
    /// As [`Repository::tag_json`](AsyncRepository::tag_json).
    pub fn tag_json(&self, tag: &Tag) -> Result<Value> {
        wait(self.inner.tag_json(tag))
    }

    /// Makes a tag name an image.
    ///
    /// # Errors
    /// As [`Repository::set_tag`](AsyncRepository::set_tag).
    pub fn set_tag(&self, tag: &Tag, id: &ImageId) -> Result<()> {
        wait(self.inner.set_tag(tag, id))
    }

    /// Removes a tag; the image stays.
    ///
    /// # Errors
    /// As [`Repository::delete_tag`](AsyncRepository::delete_tag).
    pub fn delete_tag(&self, tag: &Tag) -> Result<()> {
        wait(self.inner.delete_tag(tag))
    }

    /// Removes the repository with all of its tags.
    ///
    /// # Errors
    /// As [`Repository::delete`](AsyncRepository::delete).
    pub fn delete(&self) -> Result<()> {
        wait(self.inner.delete())
    }

    /// The images that the index lists for the repository.
    ///
    /// # Errors
    /// As [`Repository::images`](AsyncRepository::images).
    pub fn images(&self) -> Result<Vec<Listed>> {
        wait(self.inner.images())
    }

    /// An image, read and written with this repository's token if it has one. Sends nothing.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Image {
        self.inner.image(id).into()
    }

    /// The same repository with a token from its index, at the registry that the index names; see
    /// [`Repository::authorize`](AsyncRepository::authorize).
    ///
    /// # Errors
    /// As there.
    pub fn authorize(&self, access: Access, endpoints: Endpoints) -> Result<Self> {
        wait(self.inner.authorize(access, endpoints)).map(Self::from)
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
