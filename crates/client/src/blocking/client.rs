//! The client whose answers are waited for, and the replies to requests of one's own.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use longshore_core::{
    CopyOptions, CopySummary, Descriptor, Error, ManifestReference, Namespaces, RawManifest,
    RegistryName, Repository, RepositoryName, Result,
};

use super::blob::BlobStream;
use super::forward::forward;
use super::listing::{CachedListing, Listing};
use super::runtime::wait;
use super::store::Store;
use crate::auth::{AuthReport, Scope, Token};
use crate::client::{Client as AsyncClient, ClientBuilder};
use crate::config::{Limits, RegistrySettings};
use crate::listing::ListOptions;
use crate::location::Location;
use crate::ping::Ping;
use crate::raw::{RawDocument, RawReply as AsyncReply, RawRequest};
use crate::repository::RemoteRepository;

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

    forward! { AsyncClient:
        /// Resolves a reference to the descriptor of its manifest.
        pub fn resolve(&self, reference: &ManifestReference) -> Result<Descriptor>;
        /// Fetches the manifest of a reference, checked against its digest.
        pub fn manifest(&self, reference: &ManifestReference) -> Result<RawManifest>;
        /// Copies one image from a location to another.
        pub fn copy(
            &self,
            source: &Location,
            target: &Location,
            options: CopyOptions,
        ) -> Result<CopySummary>;
        /// Gets a token for a repository; see [`Client::token`](AsyncClient::token).
        pub fn token(&self, repository: &Repository, scopes: &[Scope]) -> Result<Token>;
        /// Finds out how this client authenticates for a repository; see
        /// [`Client::explain_auth`](AsyncClient::explain_auth).
        pub fn explain_auth(&self, repository: &Repository, scopes: &[Scope]) -> Result<AuthReport>;
        /// The repositories of a registry, by namespace.
        pub fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces>;
        /// Sends a request of one's own.
        pub fn request(&self, registry: &RegistryName, request: RawRequest) -> Result<RawReply>;
        /// Sends a request of one's own, and reads the document that answers it.
        pub fn fetch(
            &self,
            registry: &RegistryName,
            request: RawRequest,
            limit: usize,
        ) -> Result<RawDocument>;
        /// Asks a registry what it is, without credentials.
        pub fn ping(&self, registry: &RegistryName) -> Result<Ping>;
        /// Finds out how to reach a registry; see [`Client::detect`](AsyncClient::detect).
        pub fn detect(&self, registry: &RegistryName) -> Result<RegistrySettings>;
        /// Checks that a registry accepts the credentials it would be given.
        pub fn authenticate(&self, registry: &RegistryName) -> Result<()>;
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
    pub fn cached_catalog(&self, registry: &RegistryName) -> CachedListing<RepositoryName> {
        self.inner.cached_catalog(registry).into()
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

/// The reply to a [`RawRequest`](crate::RawRequest), whatever its status.
#[derive(Debug)]
pub struct RawReply {
    inner: AsyncReply,
}

impl RawReply {
    /// The URL that answered, after redirects.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.inner.uri
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The body, to be read as it comes.
    #[must_use]
    pub fn into_reader(self) -> BlobStream {
        self.inner.into_stream().into()
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`RawReply::bytes`](AsyncReply::bytes).
    pub fn bytes(self, limit: usize) -> Result<Bytes> {
        wait(self.inner.bytes(limit))
    }

    /// What the reply says went wrong, as every other operation tells it. Reads the body.
    #[must_use]
    pub fn into_error(self) -> Error {
        wait(async { Ok(self.inner.into_error().await) }).unwrap_or_else(|error| error)
    }
}

impl From<AsyncReply> for RawReply {
    fn from(inner: AsyncReply) -> Self {
        Self { inner }
    }
}
