use longshore_core::{ParseError, RegistryName, RepositoryName, Result};

use super::image::Image;
use super::repository::Repository;
use crate::blocking::client::Client;
use crate::blocking::listing::Listing;
use crate::blocking::runtime::wait;
use crate::v1::{Found, ImageId, Ping, Registry as AsyncRegistry};

/// A registry or index that speaks the v1 API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: AsyncRegistry,
}

impl Client {
    /// A registry by the v1 API, for those that know no other. Sends nothing.
    #[must_use]
    pub fn v1(&self, registry: &RegistryName) -> Registry {
        self.shared().v1(registry).into()
    }
}

impl Registry {
    /// Asks the registry what it is.
    ///
    /// # Errors
    /// As [`Registry::ping`](AsyncRegistry::ping).
    pub fn ping(&self) -> Result<Ping> {
        wait(self.inner.ping())
    }

    /// Searches the registry's repositories; without words, it lists them all, where it does. See
    /// [`Registry::search`](AsyncRegistry::search).
    pub fn search(&self, words: &str) -> Listing<Found> {
        self.inner.search(words).into()
    }

    /// A repository; a name of one part is in the namespace `library`. Sends nothing.
    ///
    /// # Errors
    /// As [`Registry::repository`](AsyncRegistry::repository).
    pub fn repository(&self, name: &RepositoryName) -> Result<Repository, ParseError> {
        self.inner.repository(name).map(Repository::from)
    }

    /// An image. Sends nothing.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Image {
        self.inner.image(id).into()
    }
}

impl From<AsyncRegistry> for Registry {
    fn from(inner: AsyncRegistry) -> Self {
        Self { inner }
    }
}
