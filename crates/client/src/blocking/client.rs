//! The blocking client, and the replies to custom requests.

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
/// Configure an async client and convert it:
///
/// ```
/// use longshore::{Client, blocking};
///
/// let client = blocking::Client::from(Client::builder().build());
/// ```
///
/// If a client is used for both async and blocking calls, some of its connections belong to the
/// caller's async runtime, which must keep running during blocking calls. Prefer a separate client
/// for each kind of call.
#[derive(Clone, Debug, Default)]
pub struct Client {
    inner: AsyncClient,
}

impl Client {
    /// Creates a client with default settings and no credentials.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the async client, which shares everything with this one.
    #[must_use]
    pub fn shared(&self) -> AsyncClient {
        self.inner.clone()
    }

    /// Returns a repository. Sends nothing.
    #[must_use]
    pub fn repository(&self, repository: &Repository) -> Store<RemoteRepository> {
        Store::new(self.inner.repository(repository))
    }

    forward! { AsyncClient:
        /// Returns the client with other limits; see
        /// [`Client::with_limits`](AsyncClient::with_limits).
        #[must_use]
        pub fn with_limits(&self, limits: Limits) -> Self;
        /// Resolves a reference to the descriptor of its manifest.
        pub fn resolve(&self, reference: &ManifestReference) -> Result<Descriptor>;
        /// Fetches the manifest of a reference, and verifies its digest.
        pub fn manifest(&self, reference: &ManifestReference) -> Result<RawManifest>;
        /// Copies one image from a location to another.
        pub fn copy(
            &self,
            source: &Location,
            target: &Location,
            options: CopyOptions,
        ) -> Result<CopySummary>;
        /// Gets a token for a repository; see [`Client::fetch_token`](AsyncClient::fetch_token).
        pub fn fetch_token(&self, repository: &Repository, scopes: &[Scope]) -> Result<Token>;
        /// Explains how this client authenticates for a repository; see
        /// [`Client::explain_auth`](AsyncClient::explain_auth).
        pub fn explain_auth(&self, repository: &Repository, scopes: &[Scope]) -> Result<AuthReport>;
        /// Returns the repositories of a registry, grouped by namespace.
        pub fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces>;
        /// Sends a custom request.
        pub fn request(&self, registry: &RegistryName, request: RawRequest) -> Result<RawReply>;
        /// Sends a custom request, and reads the document in its reply.
        pub fn fetch(
            &self,
            registry: &RegistryName,
            request: RawRequest,
            limit: usize,
        ) -> Result<RawDocument>;
        /// Pings a registry without credentials, and describes it.
        pub fn ping(&self, registry: &RegistryName) -> Result<Ping>;
        /// Detects how to reach a registry; see [`Client::detect`](AsyncClient::detect).
        pub fn detect(&self, registry: &RegistryName) -> Result<RegistrySettings>;
        /// Checks that a registry accepts the credentials that this client has for it.
        pub fn check_credentials(&self, registry: &RegistryName) -> Result<()>;
        /// Lists the repositories of a registry; see [`Client::catalog`](AsyncClient::catalog).
        pub fn catalog(&self, registry: &RegistryName) -> Listing<RepositoryName>;
        /// Lists the repositories of a registry, after a given start and in pages of a given size.
        pub fn catalog_with(
            &self,
            registry: &RegistryName,
            options: ListOptions<RepositoryName>,
        ) -> Listing<RepositoryName>;
        /// Returns a listing of a registry's repositories that is cached until it is refreshed.
        #[must_use]
        pub fn cached_catalog(&self, registry: &RegistryName) -> CachedListing<RepositoryName>;
    }
}

impl From<AsyncClient> for Client {
    fn from(inner: AsyncClient) -> Self {
        Self { inner }
    }
}

impl ClientBuilder {
    /// Builds a client for use without an async runtime.
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
    /// Returns the URL of the reply, after redirects.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.inner.uri
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// Returns a stream that reads the body as it arrives.
    #[must_use]
    pub fn into_reader(self) -> BlobStream {
        self.inner.into_stream().into()
    }

    /// Returns the whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// Same as [`RawReply::bytes`](AsyncReply::bytes).
    pub fn bytes(self, limit: usize) -> Result<Bytes> {
        wait(self.inner.bytes(limit))
    }

    /// Returns the reply's error, in the same form as the errors of other operations. Reads the
    /// body.
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
