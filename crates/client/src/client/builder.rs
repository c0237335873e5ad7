//! The builder of clients.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use longshore_core::RegistryName;

use super::Client;
use crate::auth::{Policies, PresetToken, Setup};
use crate::capabilities::CapabilityCache;
use crate::certificate::CertificateFolders;
use crate::config::{Config, Limits, RegistrySettings, RetryPolicy, UploadMethod, UserAgent};
use crate::credentials::{CredentialStore, MemoryCredentials};
use crate::host::Hosts;
use crate::proxy::Proxies;
use crate::resolver::{AddressFamily, HostAddresses, Resolver};
use crate::shared::Shared;
use crate::transport::Transport;
use crate::transport::observe::{ExchangeObserver, HttpExchange, Recorder};
use crate::upload_records::UploadRecords;

/// Builds a [`Client`].
pub struct ClientBuilder {
    config: Config,
    credentials: Arc<dyn CredentialStore>,
    pub(super) policies: Policies,
    pub(super) presets: Vec<PresetToken>,
    transport: Option<Arc<dyn Transport>>,
    observer: Option<ExchangeObserver>,
    page_size: Option<NonZeroUsize>,
    upload_method: UploadMethod,
    cache_folder: Option<PathBuf>,
    state_folder: Option<PathBuf>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            credentials: Arc::new(MemoryCredentials::new()),
            policies: Policies::default(),
            presets: Vec::new(),
            transport: None,
            observer: None,
            page_size: None,
            upload_method: UploadMethod::default(),
            cache_folder: None,
            state_folder: None,
        }
    }
}

impl ClientBuilder {
    /// Sets the source of credentials. Default: no credentials.
    #[must_use]
    pub fn credentials(mut self, store: impl CredentialStore + 'static) -> Self {
        self.credentials = Arc::new(store);
        self
    }

    /// Sets the default settings of registries.
    #[must_use]
    pub fn default_settings(mut self, settings: RegistrySettings) -> Self {
        self.config.default = settings;
        self
    }

    /// Sets the settings for one registry, or for the address of a token service or storage
    /// service.
    #[must_use]
    pub fn settings(mut self, address: RegistryName, settings: RegistrySettings) -> Self {
        self.config.registries.insert(address, settings);
        self
    }

    /// Sets the timeouts and the limit of concurrent requests.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = Arc::new(limits);
        self
    }

    /// Sets the proxies. Default: those of the environment, see
    /// [`Proxies::from_environment`].
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.config.proxies = Some(proxies);
        self
    }

    /// Sets the folders with certificates for registries. Configured certificates take precedence.
    /// Default: none. [`CertificateFolders::from_environment`] returns the folders of Docker and
    /// Podman.
    #[must_use]
    pub fn certificate_folders(mut self, folders: CertificateFolders) -> Self {
        self.config.folders = folders;
        self
    }

    /// Sets a resolver that replaces the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.config.resolver = Some(Arc::new(resolver));
        self
    }

    /// Sets the addresses of one host, which override any resolver. May be called several times.
    #[must_use]
    pub fn host_addresses(mut self, addresses: HostAddresses) -> Self {
        self.config.addresses.add(addresses);
        self
    }

    /// Sets the address family to use. Default: all.
    #[must_use]
    pub fn address_family(mut self, family: AddressFamily) -> Self {
        self.config.family = family;
        self
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry = policy;
        self
    }

    /// Sets the `User-Agent`. Default: `longshore/` and its version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: UserAgent) -> Self {
        self.config.user_agent = user_agent;
        self
    }

    /// Sets the page size of listings. By default the registry determines it. Many registries then
    /// send all entries in one page. With distribution, a listing of 20,000 tags in one page takes
    /// a quarter of the time of a listing in pages of 1000.
    #[must_use]
    pub fn page_size(mut self, entries: NonZeroUsize) -> Self {
        self.page_size = Some(entries);
        self
    }

    /// Sets the upload method for blobs.
    #[must_use]
    pub fn upload_method(mut self, method: UploadMethod) -> Self {
        self.upload_method = method;
        self
    }

    /// Sets a folder in which the client stores what registries support, such as mounts, and their
    /// challenges, for later clients. Without a folder, each client determines it again.
    ///
    /// The folder has one small file for each registry, without secrets. It is created with access
    /// for the user only if it does not exist. Registries on this machine have no file. A file is
    /// ignored after 7 days, and if another user could have written it.
    #[must_use]
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_folder = Some(folder.into());
        self
    }

    /// Sets a folder in which the client records unfinished uploads, so that a later push of the same
    /// blob continues them, even in another process. Without a folder, such a push starts again.
    ///
    /// The folder has one file for each blob of at least 1 MiB that is being pushed, unless the
    /// content is a stream. It is created if it does not exist. A file contains the URL of the
    /// upload session, which may authorize its holder, so only the user can read it. The client
    /// removes records that are older than a day. On Windows, no uploads are recorded.
    #[must_use]
    pub fn state_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(folder.into());
        self
    }

    /// Sets a transport that replaces the built-in one.
    ///
    /// The new transport is responsible for TLS, proxies, name resolution, the `User-Agent`, and
    /// the timeouts in [`Limits`] except [`total`](Limits::total).
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets a function that receives each request of the client, without secrets, when its reply
    /// has been read or dropped. Each attempt and each hop of a redirect is passed separately.
    /// Default: none.
    ///
    /// The function is called on the tasks that read replies, so it must not block for long.
    /// [`Client::statistics`] needs no observer.
    #[must_use]
    pub fn exchange_observer(
        mut self,
        observer: impl Fn(&HttpExchange) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Builds the client.
    #[must_use]
    pub fn build(self) -> Client {
        let Self { config, credentials, policies, presets, transport, .. } = self;
        let config = Arc::new(config);
        let limits = Arc::clone(&config.limits);
        let recorder = Recorder::new(self.observer);
        let capabilities = Arc::new(CapabilityCache::new(self.cache_folder));
        let known = Arc::clone(&capabilities);
        let setup = Setup { config, credentials, policies, presets, known };
        let hosts = Hosts::new(setup, transport, recorder);
        let uploads = UploadRecords::new(self.state_folder);
        let shared = Shared::new(self.page_size, self.upload_method, capabilities, uploads);
        Client { hosts: Arc::new(hosts), limits, shared: Arc::new(shared) }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientBuilder({:?}, {:?})", self.config, self.credentials)
    }
}
