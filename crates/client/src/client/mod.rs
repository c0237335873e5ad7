//! The client: what asks any registry anything, and repositories made from it.

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

/// A client for any number of registries. Cheap to clone; clones share everything.
///
/// Making one sends nothing and loads nothing: connections, certificates and tokens come when the
/// first operation needs them.
#[derive(Clone)]
pub struct Client {
    hosts: Arc<Hosts>,
    limits: Arc<Limits>,
    shared: Arc<Shared>,
}

impl Client {
    /// A client with every setting at its default, which is nobody at every registry.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts with every setting at its default.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same client with other limits, for some calls: tokens and what was learnt of registries
    /// are shared, and connections are too unless [`Limits::connect`] differs.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self.clone() }
    }

    /// A repository. Sends nothing.
    #[must_use]
    pub fn repository(&self, repository: &Repository) -> RemoteRepository {
        let exchange = self.exchange(repository.registry());
        RemoteRepository::new(exchange, repository.clone(), Arc::clone(&self.shared))
    }

    /// Resolves a reference to the descriptor of its manifest: media type, digest and size.
    ///
    /// Sends `HEAD /v2/<name>/manifests/<reference>`, and `GET` where the answer says too little.
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

    /// Fetches the manifest of a reference, checked against its digest.
    ///
    /// Sends `GET /v2/<name>/manifests/<reference>`.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such manifest;
    /// [`DigestMismatch`](longshore_core::ErrorKind::DigestMismatch) if the registry sent another.
    ///
    /// Source: distribution-spec v1.1.1, "Pulling manifests" (end-3).
    pub async fn manifest(&self, reference: &ManifestReference) -> Result<RawManifest> {
        self.repository(reference.repository()).manifest(reference.selector()).await
    }

    /// Lists the repositories of a registry, ordered by name, where it allows that.
    ///
    /// Sends `GET /v2/_catalog?n=<n>` and follows its links. Names outside the grammar are left out,
    /// with a warning in the log.
    ///
    /// Source: Docker Registry HTTP API V2, "Catalog".
    #[must_use]
    pub fn catalog(&self, registry: &RegistryName) -> Pages<RepositoryName> {
        self.catalog_with(registry, ListOptions::default())
    }

    /// Lists the repositories of a registry from a start of the caller's, in pages of its size; as
    /// [`catalog`](Self::catalog).
    #[must_use]
    pub fn catalog_with(
        &self,
        registry: &RegistryName,
        options: ListOptions<RepositoryName>,
    ) -> Pages<RepositoryName> {
        crate::catalog::pages(self.exchange(registry), &self.shared, options)
    }

    /// The repositories of a registry, listed when first asked for and kept until refreshed. Sends
    /// nothing.
    ///
    /// `catalog.all().await?.iter().cloned().collect::<Namespaces>()` sorts them by namespace.
    #[must_use]
    pub fn cached_catalog(&self, registry: &RegistryName) -> CachedListing<RepositoryName> {
        let (client, registry) = (self.clone(), registry.clone());
        CachedListing::new(move || client.catalog(&registry))
    }

    /// The namespaces of a registry, with the repositories in each: reads the whole catalog.
    ///
    /// # Errors
    /// Those of [`catalog`](Self::catalog).
    pub async fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces> {
        Ok(self.catalog(registry).all().await?.into_iter().collect())
    }

    /// Asks a registry what it is, without credentials.
    ///
    /// Sends `GET /v2/`. That it wants credentials is an answer, not an error.
    ///
    /// # Errors
    /// [`Transport`](longshore_core::ErrorKind::Transport) or
    /// [`Timeout`](longshore_core::ErrorKind::Timeout) if it does not answer;
    /// [`Protocol`](longshore_core::ErrorKind::Protocol) if it is no registry.
    ///
    /// Source: distribution-spec v1.1.1, "Determining Support" (end-1).
    pub async fn ping(&self, registry: &RegistryName) -> Result<Ping> {
        crate::ping::ping(&self.exchange(registry)).await
    }

    /// Finds out how to reach a registry: over HTTPS with a valid certificate, else over HTTPS with
    /// any certificate, else over plain HTTP.
    ///
    /// Sends `GET /v2/` in each way until one leads to a registry. Logs a warning if it falls back.
    /// Certificates and verification that are set for this registry rule fallbacks out, as
    /// [`Scheme::Detect`](crate::Scheme::Detect) says; a client calls this by itself for registries
    /// with that scheme, once each.
    ///
    /// Returns this client's settings for the registry with scheme and verification filled in. They
    /// work in another client, and keep in [`fallback`](RegistrySettings::fallback) that they are no
    /// permission to send secrets.
    ///
    /// # Errors
    /// The failure of the first attempt, if no permitted way leads to a registry.
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

    /// Checks that a registry accepts the credentials it would be given.
    ///
    /// Sends `GET /v2/`, and what its answer asks for.
    ///
    /// # Errors
    /// [`Unauthorized`](longshore_core::ErrorKind::Unauthorized) or
    /// [`Denied`](longshore_core::ErrorKind::Denied) if they are refused, with their source.
    pub async fn authenticate(&self, registry: &RegistryName) -> Result<()> {
        crate::ping::authenticate(&self.exchange(registry)).await
    }

    /// Sends a request of the caller's own through the same authentication, attempts, redirects and
    /// log as every other. Any status is a reply.
    ///
    /// Credentials go to the registry's own origin alone, and the request begins there.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid) for a target that is not at the registry;
    /// whatever keeps a reply from coming.
    pub async fn request(&self, registry: &RegistryName, request: RawRequest) -> Result<RawReply> {
        crate::raw::send(&self.exchange(registry), request).await
    }

    /// Sends a request of the caller's own, as [`request`](Self::request), and reads the document that
    /// answers it: a 200 of at most `limit` bytes. A document that breaks off is requested again.
    ///
    /// # Errors
    /// What another status means; [`TooLarge`](longshore_core::ErrorKind::TooLarge) for a longer
    /// document; [`Protocol`](longshore_core::ErrorKind::Protocol) for a web page.
    pub async fn fetch(
        &self,
        registry: &RegistryName,
        request: RawRequest,
        limit: usize,
    ) -> Result<RawDocument> {
        crate::raw::fetch(&self.exchange(registry), request, limit).await
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
