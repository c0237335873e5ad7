//! The client: settings put together into a transport, and repositories made from it.

mod authentication;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore_core::{Cached, Namespaces, Pages, RegistryName, Repository, RepositoryName, Result};

use crate::auth::{Auth, Policies, PresetToken, Setup};
use crate::certificate_folder::CertificateFolders;
use crate::config::{Config, RegistrySettings, RetryPolicy, UploadForm, UserAgent};
use crate::credentials::{CredentialStore, MemoryCredentials};
use crate::detect::Detector;
use crate::exchange::Exchange;
use crate::limits::Limits;
use crate::listing::ListOptions;
use crate::ping::Ping;
use crate::proxy::Proxies;
use crate::raw::{RawReply, RawRequest};
use crate::repository::RemoteRepository;
use crate::resolver::{AddressFamily, HostAddresses, Resolver};
use crate::shared::Shared;
use crate::transport::Transport;
use crate::transport::limit::Limit;
use crate::transport::log::Log;
use crate::transport::redirect::Redirect;
use crate::transport::retry::Retry;
use crate::transport::trial::Accepted;
use crate::transport::wire::Wire;
use crate::v1::{self, ApiVersion};

/// A client for any number of registries. Cheap to clone; clones share everything.
///
/// Making one sends nothing and loads nothing: connections, certificates and tokens come when the
/// first operation needs them.
#[derive(Clone)]
pub struct Client {
    auth: Arc<Auth>,
    detector: Arc<Detector>,
    config: Arc<Config>,
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
    pub fn cached_catalog(&self, registry: &RegistryName) -> Cached<RepositoryName> {
        let (client, registry) = (self.clone(), registry.clone());
        Cached::new(move || client.catalog(&registry))
    }

    /// The namespaces of a registry, with the repositories in each: reads the whole catalog.
    ///
    /// # Errors
    /// Those of [`catalog`](Self::catalog).
    pub async fn namespaces(&self, registry: &RegistryName) -> Result<Namespaces> {
        Ok(self.catalog(registry).all().await?.into_iter().collect())
    }

    /// A registry by the v1 API, for those that know no other. Sends nothing.
    #[must_use]
    pub fn v1(&self, registry: &RegistryName) -> v1::Registry {
        let client = self.clone();
        v1::Registry::new(Arc::new(move |registry| client.exchange(registry)), registry)
    }

    /// Asks which API a registry speaks. Whoever knows it already need not ask:
    /// [`repository`](Self::repository) is v2, [`v1`](Self::v1) is v1.
    ///
    /// Sends `GET /v2/`. Not found (404), and that alone, means v1; success and 401 mean v2.
    ///
    /// # Errors
    /// Those of [`ping`](Self::ping): no other answer says which API it is.
    pub async fn api_version(&self, registry: &RegistryName) -> Result<ApiVersion> {
        v1::detect(&self.exchange(registry)).await
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

    fn exchange(&self, registry: &RegistryName) -> Exchange {
        Exchange::new(
            Arc::<Auth>::clone(&self.auth),
            Arc::clone(&self.detector),
            Arc::clone(&self.limits),
            registry.clone(),
            &self.config.of(registry),
        )
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.auth)
    }
}

/// Builds a [`Client`].
#[derive(Debug)]
pub struct ClientBuilder {
    config: Config,
    credentials: Arc<dyn CredentialStore>,
    policies: Policies,
    presets: Vec<PresetToken>,
    transport: Option<Arc<dyn Transport>>,
    page_size: NonZeroUsize,
    upload_form: UploadForm,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            credentials: Arc::new(MemoryCredentials::new()),
            policies: Policies::default(),
            presets: Vec::new(),
            transport: None,
            page_size: DEFAULT_PAGE_SIZE,
            upload_form: UploadForm::default(),
        }
    }
}

impl ClientBuilder {
    /// Where credentials come from. Default: there are none.
    #[must_use]
    pub fn credentials(mut self, store: impl CredentialStore + 'static) -> Self {
        self.credentials = Arc::new(store);
        self
    }

    /// The settings for every registry that has none of its own.
    #[must_use]
    pub fn default_settings(mut self, settings: RegistrySettings) -> Self {
        self.config.default = settings;
        self
    }

    /// The settings for one registry, or for the address of a token service or storage.
    #[must_use]
    pub fn settings(mut self, address: RegistryName, settings: RegistrySettings) -> Self {
        self.config.registries.insert(address, settings);
        self
    }

    /// How long to wait for what, and how much to do at once.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = Arc::new(limits);
        self
    }

    /// The proxies to go through. Default: those that the environment names, see
    /// [`Proxies::from_environment`].
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.config.proxies = Some(proxies);
        self
    }

    /// The folders to look into for certificates of registries that have none set. Default: none;
    /// [`CertificateFolders::of_other_tools`] are those of Docker and Podman.
    #[must_use]
    pub fn certificate_folders(mut self, folders: CertificateFolders) -> Self {
        self.config.folders = folders;
        self
    }

    /// Resolves names in place of the system.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.config.resolver = Some(Arc::new(resolver));
        self
    }

    /// Where one host is, whatever a resolver says. Those of several calls add up.
    #[must_use]
    pub fn host_addresses(mut self, addresses: HostAddresses) -> Self {
        self.config.addresses.add(addresses);
        self
    }

    /// Which addresses to use. Default: all.
    #[must_use]
    pub fn address_family(mut self, family: AddressFamily) -> Self {
        self.config.family = family;
        self
    }

    /// When to try again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry = policy;
        self
    }

    /// What the client calls itself. Default: `longshore/` and its version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: UserAgent) -> Self {
        self.config.user_agent = user_agent;
        self
    }

    /// How many entries to ask for in a page of a listing. Default: 1,000, the most that ECR and
    /// distribution accept.
    #[must_use]
    pub fn page_size(mut self, entries: NonZeroUsize) -> Self {
        self.page_size = entries;
        self
    }

    /// In what form to send blobs.
    #[must_use]
    pub fn upload_form(mut self, form: UploadForm) -> Self {
        self.upload_form = form;
        self
    }

    /// Sends requests through this transport in place of the built-in one.
    ///
    /// Settings of TLS and the waits of [`Limits`] are its own business then.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        let config = Arc::new(self.config);
        let (retry, limits) = (config.retry.clone(), Arc::clone(&config.limits));
        let accepted = Accepted::default();
        let wire = self
            .transport
            .unwrap_or_else(|| Arc::new(Wire::new(Arc::clone(&config), accepted.clone())));
        let log: Arc<dyn Transport> = Arc::new(Log::new(wire));
        let asking = Arc::new(Retry::new(Arc::clone(&log), retry.clone()));
        let detector = Arc::new(Detector::new(asking, Arc::clone(&config), accepted));
        let redirect = Arc::new(Redirect::new(log));
        let limit = Arc::new(Limit::new(redirect, limits.requests_per_host));
        let retried = Arc::new(Retry::new(limit, retry.clone()));
        let Self { credentials, policies, presets, .. } = self;
        let setup = Setup { credentials, policies, presets };
        let auth = Arc::new(Auth::new(retried, setup, Arc::clone(&config)));
        let shared = Arc::new(Shared::new(self.page_size, retry, self.upload_form));
        Client { auth, detector, config, limits, shared }
    }
}

const DEFAULT_PAGE_SIZE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
