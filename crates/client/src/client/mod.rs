//! The client, which sends requests to any registry.

mod authentication;
mod builder;

use std::fmt;
use std::sync::Arc;

use longshore_core::{
    CachedListing, Descriptor, ManifestReference, Namespaces, Pages, RawManifest, RegistryName,
    Repository, RepositoryName, Result, Source as _,
};

pub use self::builder::ClientBuilder;
use crate::config::{Limits, RegistrySettings};
use crate::exchange::Exchange;
use crate::host::Hosts;
use crate::listing::ListOptions;
use crate::ping::Ping;
use crate::raw::{RawDocument, RawReply, RawRequest};
use crate::repository::RemoteRepository;
use crate::shared::Shared;
use crate::statistics::Statistics;

/// A client for any number of registries. Cheap to clone; clones share everything.
///
/// Creating a client sends nothing and loads nothing. Connections, certificates and tokens are set
/// up when the first operation needs them.
#[derive(Clone)]
pub struct Client {
    hosts: Arc<Hosts>,
    limits: Arc<Limits>,
    shared: Arc<Shared>,
}

impl Client {
    /// Creates a client with default settings and no credentials.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with default settings.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Returns the same client with other limits. Both clients share tokens and the detected
    /// settings of registries. They also share connections, unless [`Limits::connect`] differs.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self.clone() }
    }

    /// Returns a repository. Sends nothing.
    #[must_use]
    pub fn repository(&self, repository: &Repository) -> RemoteRepository {
        let exchange = self.exchange(repository.registry());
        RemoteRepository::new(exchange, repository.clone(), Arc::clone(&self.shared))
    }

    /// Resolves a reference to the descriptor of its manifest: media type, digest and size.
    ///
    /// Sends `HEAD /v2/<name>/manifests/<reference>`, and `GET` if `HEAD` fails or its headers are
    /// incomplete.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such manifest.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> longshore::Result<()> {
    /// use longshore::{Client, Reference};
    ///
    /// let nginx = Reference::familiar("nginx")?.or_latest();
    /// println!("{}", Client::new().resolve(&nginx).await?.digest);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Source: distribution-spec v1.1.1, "Checking if content exists in the registry" (end-3).
    pub async fn resolve(&self, reference: &ManifestReference) -> Result<Descriptor> {
        self.repository(reference.repository()).resolve(reference.selector()).await
    }

    /// Fetches the manifest of a reference, and verifies its digest.
    ///
    /// Sends `GET /v2/<name>/manifests/<reference>`.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such manifest;
    /// [`DigestMismatch`](longshore_core::ErrorKind::DigestMismatch) if its content has another
    /// digest.
    ///
    /// Source: distribution-spec v1.1.1, "Pulling manifests" (end-3).
    pub async fn manifest(&self, reference: &ManifestReference) -> Result<RawManifest> {
        self.repository(reference.repository()).manifest(reference.selector()).await
    }

    /// Lists the repositories of a registry, if the registry supports this. Most registries order
    /// them by name.
    ///
    /// Sends `GET /v2/_catalog`, with `n` if a page size is set, and follows its links. Names
    /// outside the grammar are omitted, with a warning in the log.
    ///
    /// Source: Docker Registry HTTP API V2, "Catalog".
    #[must_use]
    pub fn catalog(&self, registry: &RegistryName) -> Pages<RepositoryName> {
        self.catalog_with(registry, ListOptions::default())
    }

    /// Lists the repositories of a registry after a given start, in pages of a given size.
    /// Otherwise same as [`catalog`](Self::catalog).
    #[must_use]
    pub fn catalog_with(
        &self,
        registry: &RegistryName,
        options: ListOptions<RepositoryName>,
    ) -> Pages<RepositoryName> {
        crate::catalog::pages(self.exchange(registry), &self.shared, options)
    }

    /// Returns a listing of a registry's repositories that is fetched on first use and cached until
    /// it is refreshed. Sends nothing.
    ///
    /// `catalog.all().await?.iter().cloned().collect::<Namespaces>()` groups the repositories by
    /// namespace.
    #[must_use]
    pub fn cached_catalog(&self, registry: &RegistryName) -> CachedListing<RepositoryName> {
        let (client, registry) = (self.clone(), registry.clone());
        CachedListing::new(move || client.catalog(&registry))
    }

    /// Returns the namespaces of a registry with their repositories. Reads the whole catalog.
    ///
    /// # Errors
    /// Same as [`catalog`](Self::catalog).
    pub async fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces> {
        Ok(self.catalog(registry).all().await?.into_iter().collect())
    }

    /// Pings a registry without credentials, and returns its description.
    ///
    /// Sends `GET /v2/`. A registry that requires credentials is not an error.
    ///
    /// # Errors
    /// [`Transport`](longshore_core::ErrorKind::Transport) or
    /// [`Timeout`](longshore_core::ErrorKind::Timeout) if the registry does not reply;
    /// [`Protocol`](longshore_core::ErrorKind::Protocol) for a web page; the error of any other
    /// reply that a registry does not send, such as a 404.
    ///
    /// Source: distribution-spec v1.1.1, "Determining Support" (end-1).
    pub async fn ping(&self, registry: &RegistryName) -> Result<Ping> {
        crate::ping::ping(&self.exchange(registry)).await
    }

    /// Detects how to reach a registry: over HTTPS with a valid certificate, else over HTTPS with
    /// any certificate, else over plain HTTP.
    ///
    /// Sends `GET /v2/` over HTTPS. If the certificate is invalid, sends it again and accepts any
    /// certificate. If the server does not speak TLS, sends it over plain HTTP. Logs a warning for
    /// such a fallback. Certificates or verification settings for this registry prevent fallbacks,
    /// as [`Scheme::Detect`](crate::Scheme::Detect) describes. A client with that scheme calls this
    /// method once per registry.
    ///
    /// Returns this client's settings for the registry, including the detected scheme and
    /// verification. Another client can use these settings. They record a fallback in
    /// [`fallback`](RegistrySettings::fallback), so that the fallback does not permit sending
    /// secrets.
    ///
    /// # Errors
    /// The failure of the first attempt, if no permitted way reaches a registry.
    ///
    /// # Example
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use longshore::{Client, RegistryName};
    ///
    /// let registry: RegistryName = "registry.lan:5000".parse()?;
    /// let settings = Client::new().detect(&registry).await?;
    /// let client = Client::builder().settings(registry, settings).build();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn detect(&self, registry: &RegistryName) -> Result<RegistrySettings> {
        self.hosts.detect(registry).await
    }

    /// Checks that a registry accepts the credentials that this client has for it.
    ///
    /// Sends `GET /v2/`, and the requests that its challenge requires.
    ///
    /// # Errors
    /// [`Unauthorized`](longshore_core::ErrorKind::Unauthorized) or
    /// [`Denied`](longshore_core::ErrorKind::Denied) if the credentials are refused. The error
    /// names their source.
    pub async fn check_credentials(&self, registry: &RegistryName) -> Result<()> {
        crate::ping::check_credentials(&self.exchange(registry)).await
    }

    /// Sends a custom request with the same authentication, retries, redirects and log as all other
    /// requests. Returns the reply, whatever its status.
    ///
    /// The first request is sent to the registry's own origin. Credentials are sent only to this
    /// origin and to its token service.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid) for a target that is not at the registry;
    /// any error that prevents a reply.
    pub async fn request(&self, registry: &RegistryName, request: RawRequest) -> Result<RawReply> {
        crate::raw::send(&self.exchange(registry), request).await
    }

    /// Sends a custom request, like [`request`](Self::request), and reads the document in its 200
    /// reply, of at most `limit` bytes. If the connection breaks before the end of the document,
    /// the request is sent again.
    ///
    /// # Errors
    /// The error of any other status; [`TooLarge`](longshore_core::ErrorKind::TooLarge) for a
    /// longer document; [`Protocol`](longshore_core::ErrorKind::Protocol) for a web page.
    pub async fn fetch(
        &self,
        registry: &RegistryName,
        request: RawRequest,
        limit: usize,
    ) -> Result<RawDocument> {
        crate::raw::fetch(&self.exchange(registry), request, limit).await
    }

    /// Returns the number of requests that this client and its clones have sent so far, the bytes
    /// of their bodies, and the time that they waited. Sends nothing.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.hosts.recorder().counters.lock().clone()
    }

    fn exchange(&self, registry: &RegistryName) -> Exchange {
        Exchange::new(Arc::clone(&self.hosts), registry.clone(), Arc::clone(&self.limits))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.hosts)
    }
}
