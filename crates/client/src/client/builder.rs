//! The settings of a client, put together into a transport.

use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore_core::RegistryName;

use super::Client;
use crate::auth::{Policies, PresetToken, Setup};
use crate::certificate::CertificateFolders;
use crate::config::{Config, Limits, RegistrySettings, RetryPolicy, UploadMethod, UserAgent};
use crate::credentials::{CredentialStore, MemoryCredentials};
use crate::host::Hosts;
use crate::proxy::Proxies;
use crate::resolver::{AddressFamily, HostAddresses, Resolver};
use crate::shared::Shared;
use crate::transport::Transport;

/// Builds a [`Client`].
#[derive(Debug)]
pub struct ClientBuilder {
    config: Config,
    credentials: Arc<dyn CredentialStore>,
    pub(super) policies: Policies,
    pub(super) presets: Vec<PresetToken>,
    transport: Option<Arc<dyn Transport>>,
    page_size: Option<NonZeroUsize>,
    upload_method: UploadMethod,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            credentials: Arc::new(MemoryCredentials::new()),
            policies: Policies::default(),
            presets: Vec::new(),
            transport: None,
            page_size: None,
            upload_method: UploadMethod::default(),
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

    /// How many entries to ask for in a page of a listing. Default: none is named, and the registry
    /// decides: many send all at once then, which costs distribution a quarter of the time.
    #[must_use]
    pub fn page_size(mut self, entries: NonZeroUsize) -> Self {
        self.page_size = Some(entries);
        self
    }

    /// In what form to send blobs.
    #[must_use]
    pub fn upload_method(mut self, form: UploadMethod) -> Self {
        self.upload_method = form;
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
        let Self { config, credentials, policies, presets, transport, .. } = self;
        let config = Arc::new(config);
        let limits = Arc::clone(&config.limits);
        let hosts = Hosts::new(Setup { config, credentials, policies, presets }, transport);
        let shared = Shared::new(self.page_size, self.upload_method);
        Client { hosts: Arc::new(hosts), limits, shared: Arc::new(shared) }
    }
}
