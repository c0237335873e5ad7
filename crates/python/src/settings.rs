//! The settings of a client, as a Python dictionary passes them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use longshore::{
    AddressFamily, Authentication, BasicAuth, CertificateFolders, Client, ClientBuilder,
    ClientCertificate, Defaults, Environment, Error, HostAddresses, InitialAuth, Limits, NoProxy,
    ParseError, Proxies, Proxy, RegistryName, RegistrySettings, RegistryUrl, Result, RetryPolicy,
    RootCertificates, Scheme, TokenService, UserAgent, Verification,
};
use serde::Deserialize;

/// The settings of a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    timeout: Option<f64>,
    connect_timeout: f64,
    idle_timeout: f64,
    attempts: usize,
    /// The proxies by scheme, or `None` for those of the environment.
    proxies: Option<BTreeMap<String, String>>,
    no_proxy: Option<String>,
    /// Addresses by "HOST" or "HOST:PORT".
    resolve: BTreeMap<String, String>,
    ipv4: bool,
    user_agent: Option<String>,
    page_size: Option<usize>,
    cache: bool,
    default_registry: String,
    default_namespace: Option<String>,
    default_tag: String,
    settings: ForRegistry,
    registries: BTreeMap<String, ForRegistry>,
}

/// The settings of one registry, or of all registries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForRegistry {
    scheme: String,
    url: Option<String>,
    verify: bool,
    /// PEM text.
    ca: Option<String>,
    /// The files of a certificate and its key.
    cert: Option<(PathBuf, PathBuf)>,
    basic: String,
    token_service: Option<String>,
    token_host: Option<String>,
}

impl Settings {
    /// Returns the defaults for the missing parts of names.
    pub(crate) fn defaults(&self) -> Result<Defaults, ParseError> {
        let mut defaults = Defaults::docker();
        defaults.registry = self.default_registry.parse()?;
        defaults.namespace = self.default_namespace.as_deref().map(str::parse).transpose()?;
        defaults.tag = self.default_tag.parse()?;
        Ok(defaults)
    }

    pub(crate) fn builder(&self) -> Result<ClientBuilder> {
        let environment = Environment::from_process();
        let mut builder = Client::builder()
            .limits(self.limits()?)
            .retry(self.retry())
            .certificate_folders(CertificateFolders::from_environment(&environment))
            .default_settings(self.settings.transport(None)?)
            .default_authentication(self.settings.authentication()?);
        for (name, own) in &self.registries {
            let registry: RegistryName = name.parse()?;
            builder = builder.settings(registry.clone(), own.transport(Some(&registry))?);
            builder = builder.authentication(registry, own.authentication()?);
        }
        if let Some(entries) = self.page_size.and_then(NonZeroUsize::new) {
            builder = builder.page_size(entries);
        }
        if let Some(user_agent) = &self.user_agent {
            builder = builder.user_agent(user_agent.parse::<UserAgent>()?);
        }
        if self.ipv4 {
            builder = builder.address_family(AddressFamily::Ipv4);
        }
        for (host, address) in &self.resolve {
            let text = match host.rsplit_once(':') {
                Some(_) => format!("{host}:{address}"),
                None => format!("{host}:443:{address}"),
            };
            builder = builder.host_addresses(text.parse::<HostAddresses>()?);
        }
        if let Some(folder) = environment.cache_folder().filter(|_| self.cache) {
            builder = builder.cache_folder(folder.join("registries"));
        }
        if let Some(folder) = environment.state_folder() {
            builder = builder.state_folder(folder.join("uploads"));
        }
        match self.proxies()? {
            Some(proxies) => Ok(builder.proxies(proxies)),
            None => Ok(builder),
        }
    }

    fn limits(&self) -> Result<Limits> {
        let mut limits = Limits::default();
        limits.connect = seconds("connect_timeout", self.connect_timeout)?;
        limits.idle = seconds("idle_timeout", self.idle_timeout)?;
        limits.response = limits.response.max(limits.idle);
        limits.total = self.timeout.map(|time| seconds("timeout", time)).transpose()?;
        Ok(limits)
    }

    fn retry(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        policy.max_attempts = NonZeroUsize::new(self.attempts).unwrap_or(NonZeroUsize::MIN);
        policy
    }

    fn proxies(&self) -> Result<Option<Proxies>> {
        let Some(given) = &self.proxies else { return Ok(None) };
        let mut proxies = Proxies::none();
        for (scheme, url) in given {
            let proxy = Proxy::parse(url)?;
            proxies = match scheme.as_str() {
                "http" => proxies.http(proxy),
                "https" => proxies.https(proxy),
                _ => {
                    let reason = "expected http or https";
                    return Err(ParseError::new("scheme of a proxy", scheme, reason).into());
                }
            };
        }
        let except = self.no_proxy.as_deref().unwrap_or_default();
        Ok(Some(proxies.except(NoProxy::parse(except))))
    }
}

impl ForRegistry {
    fn transport(&self, registry: Option<&RegistryName>) -> Result<RegistrySettings> {
        let mut settings = RegistrySettings::default();
        if let (Some(url), Some(_)) = (&self.url, registry) {
            let url = RegistryUrl::parse(url)?;
            settings = url.settings();
        }
        if self.scheme != "auto" {
            settings.scheme = Some(self.scheme.parse::<Scheme>()?);
        }
        if !self.verify {
            settings.verification = Some(Verification::Skip);
        }
        if let Some(pem) = &self.ca {
            settings.root_certificates = Some(RootCertificates::from_pem(pem.as_bytes())?);
        }
        if let Some((certificate, key)) = &self.cert {
            let read = |path: &PathBuf| std::fs::read(path).map_err(|e| Error::io(path, e));
            let pair = ClientCertificate::from_pem(&read(certificate)?, &read(key)?);
            settings.client_certificate = Some(pair.map_err(|e| e.at(certificate.display()))?);
        }
        Ok(settings)
    }

    fn authentication(&self) -> Result<Authentication> {
        let mut settings = Authentication::default();
        match self.basic.as_str() {
            "first" => settings.opening = InitialAuth::Basic,
            "never" => settings.basic = BasicAuth::Never,
            _ => {}
        }
        if let Some(url) = &self.token_service {
            settings.token_service = Some(TokenService::new(url, None)?);
        }
        if let Some(host) = &self.token_host {
            settings.token_host = Some(host.parse()?);
        }
        Ok(settings)
    }
}

fn seconds(name: &'static str, time: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(time).map_err(|_| {
        ParseError::new(name, &time.to_string(), "expected a positive number of seconds").into()
    })
}
