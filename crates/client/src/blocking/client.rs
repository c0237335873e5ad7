//! The client whose answers are waited for.

use longshore_core::{
    Descriptor, ManifestReference, Namespaces, RawManifest, RegistryName, Repository,
    RepositoryName, Result,
};

use super::cached::Cached;
use super::listing::Listing;
use super::raw::RawReply;
use super::runtime::wait;
use super::store::Store;
use crate::auth::{Inquiry, Scope, Token};
use crate::client::{Client as AsyncClient, ClientBuilder};
use crate::config::Limits;
use crate::listing::ListOptions;
use crate::ping::Ping;
use crate::raw::RawRequest;
use crate::repository::RemoteRepository;
use crate::v1::ApiVersion;

/// A client for any number of registries. Cheap to clone; clones share everything.
///
/// It is made of an async one, which is how it is set up:
///
/// ```
/// use longshore::{Client, blocking};
///
/// let client = blocking::Client::from(Client::builder().build());
/// ```
///
/// A client that is used in both ways belongs to an async runtime, which must run on while there is
/// a wait here; best is to use it in one way only.
#[derive(Clone, Debug, Default)]
pub struct Client {
    inner: AsyncClient,
}

impl Client {
    /// A client with every setting at its default, which is nobody at every registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other limits; see [`Client::with_limits`](AsyncClient::with_limits).
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        self.inner.with_limits(limits).into()
    }

    /// The async client, which shares everything with this one.
    #[must_use]
    pub fn shared(&self) -> AsyncClient {
        self.inner.clone()
    }

    /// A repository. Sends nothing.
    #[must_use]
    pub fn repository(&self, repository: &Repository) -> Store<RemoteRepository> {
        Store::new(self.inner.repository(repository))
    }

    /// Resolves a reference to the descriptor of its manifest.
    ///
    /// # Errors
    /// As [`Client::resolve`](AsyncClient::resolve).
    pub fn resolve(&self, reference: &ManifestReference) -> Result<Descriptor> {
        wait(self.inner.resolve(reference))
    }

    /// Fetches the manifest of a reference, checked against its digest.
    ///
    /// # Errors
    /// As [`Client::manifest`](AsyncClient::manifest).
    pub fn manifest(&self, reference: &ManifestReference) -> Result<RawManifest> {
        wait(self.inner.manifest(reference))
    }

    /// Gets a token for a repository; see [`Client::token`](AsyncClient::token).
    ///
    /// # Errors
    /// As there.
    pub fn token(&self, repository: &Repository, scopes: &[Scope]) -> Result<Token> {
        wait(self.inner.token(repository, scopes))
    }

    /// Finds out how this client authenticates for a repository; see
    /// [`Client::explain`](AsyncClient::explain).
    ///
    /// # Errors
    /// As there.
    pub fn explain(&self, repository: &Repository, scopes: &[Scope]) -> Result<Inquiry> {
        wait(self.inner.explain(repository, scopes))
    }

    /// Lists the repositories of a registry; see [`Client::catalog`](AsyncClient::catalog).
    pub fn catalog(&self, registry: &RegistryName) -> Listing<RepositoryName> {
        self.inner.catalog(registry).into()
    }

    /// Lists the repositories of a registry, from a start and in pages of a size.
    pub fn catalog_with(
        &self,
        registry: &RegistryName,
        options: ListOptions<RepositoryName>,
    ) -> Listing<RepositoryName> {
        self.inner.catalog_with(registry, options).into()
    }

    /// The repositories of a registry, kept until they are refreshed.
    #[must_use]
    pub fn cached_catalog(&self, registry: &RegistryName) -> Cached<RepositoryName> {
        self.inner.cached_catalog(registry).into()
    }

    /// The repositories of a registry, by namespace.
    ///
    /// # Errors
    /// As [`Client::namespaces`](AsyncClient::namespaces).
    pub fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces> {
        wait(self.inner.namespaces(registry))
    }

    /// Asks which API a registry speaks: [`repository`](Self::repository) is v2, [`v1`](Self::v1) is
    /// v1.
    ///
    /// # Errors
    /// As [`Client::api_version`](AsyncClient::api_version).
    pub fn api_version(&self, registry: &RegistryName) -> Result<ApiVersion> {
        wait(self.inner.api_version(registry))
    }

    /// Sends a request of one's own.
    ///
    /// # Errors
    /// As [`Client::request`](AsyncClient::request).
    pub fn request(&self, registry: &RegistryName, request: RawRequest) -> Result<RawReply> {
        wait(self.inner.request(registry, request)).map(RawReply::from)
    }

    /// Asks a registry what it is, without credentials.
    ///
    /// # Errors
    /// As [`Client::ping`](AsyncClient::ping).
    pub fn ping(&self, registry: &RegistryName) -> Result<Ping> {
        wait(self.inner.ping(registry))
    }

    /// Checks that a registry accepts the credentials it would be given.
    ///
    /// # Errors
    /// As [`Client::authenticate`](AsyncClient::authenticate).
    pub fn authenticate(&self, registry: &RegistryName) -> Result<()> {
        wait(self.inner.authenticate(registry))
    }
}

impl From<AsyncClient> for Client {
    fn from(inner: AsyncClient) -> Self {
        Self { inner }
    }
}

impl ClientBuilder {
    /// The client, to be used without an async runtime.
    #[must_use]
    pub fn build_blocking(self) -> Client {
        self.build().into()
    }
}
