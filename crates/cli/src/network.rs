//! Options for reaching registries, and the client builder with these settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use longshore::{
    AddressFamily, CertificateFolders, Client, ClientBuilder, ClientCertificate, Environment,
    Error, HostAddresses, Limits, NoProxy, ParseError, Proxies, Proxy, RegistryName,
    RegistrySettings, RegistryUrl, Result, RootCertificates, Scheme, UserAgent, Verification,
};

use crate::given::{ForRegistry, Given, all, one};

/// Options of every command that contacts registries.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options for reaching registries")]
pub(crate) struct Network {
    /// Scheme for all registries, or for one: auto, http, https, by-name, or detect, which falls
    /// back to unchecked certificates and plain HTTP [default: auto, which uses plain HTTP only on
    /// loopback].
    #[arg(
        long,
        global = true,
        value_name = "[REGISTRY=]SCHEME",
        env = Scheme::VARIABLE,
        value_delimiter = ','
    )]
    scheme: Vec<Given<ForRegistry<Scheme>>>,

    /// Use plain HTTP for this registry, even for credentials. A registry on loopback does not
    /// require this option.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY",
        env = "LONGSHORE_PLAIN_HTTP",
        value_delimiter = ','
    )]
    plain_http: Vec<Given<RegistryName>>,

    /// Base URL of a registry: its scheme, and the path before /v2/, such as
    /// https://example.org/registry.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "LONGSHORE_REGISTRY_URL",
        value_delimiter = ','
    )]
    registry_url: Vec<Given<BaseUrl>>,

    /// Accept any certificate from this registry, without checking its identity.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY",
        env = "LONGSHORE_SKIP_TLS_VERIFY",
        value_delimiter = ','
    )]
    skip_tls_verify: Vec<Given<RegistryName>>,

    /// Also trust the certificates in this PEM file, for all registries or for one. On loopback,
    /// TLS is then tried first, or is required if the file is for one registry.
    #[arg(
        long,
        global = true,
        value_name = "[REGISTRY=]FILE",
        env = "LONGSHORE_CA_FILE",
        value_delimiter = ','
    )]
    ca_file: Vec<Given<ForRegistry<File>>>,

    /// Client certificate and private key (PEM files), for one registry or for all registries that
    /// request a certificate.
    #[arg(long, global = true, value_name = "[REGISTRY=]CERT,KEY", env = "LONGSHORE_CLIENT_CERT")]
    client_cert: Vec<Given<ForRegistry<CertificateAndKey>>>,

    /// Read certificates of registries from <host:port>/*.crt, *.cert and *.key in this folder,
    /// instead of the certs.d folders of containers and Docker.
    #[arg(long, global = true, value_name = "DIR", env = "LONGSHORE_CERT_DIR")]
    cert_dir: Option<Given<PathBuf>>,

    /// Use this proxy (http, https, socks5 or socks5h), or none [default: from HTTPS_PROXY,
    /// HTTP_PROXY, ALL_PROXY and NO_PROXY].
    #[arg(
        long,
        global = true,
        value_name = "[USER:PASSWORD@]URL|none",
        env = "LONGSHORE_PROXY",
        hide_env_values = true
    )]
    proxy: Option<Given<Through>>,

    /// Also trust the certificates in this PEM file, for the proxy only.
    #[arg(long, global = true, value_name = "FILE", requires = "proxy")]
    proxy_ca_file: Option<PathBuf>,

    /// Hosts to reach without the proxy: names (with subdomains), addresses, ranges (10.0.0.0/8) or
    /// * for all, each with or without :PORT.
    #[arg(long, global = true, value_name = "HOST,…", requires = "proxy")]
    no_proxy: Option<String>,

    /// Use this address for a host instead of name resolution.
    #[arg(long, global = true, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<HostAddresses>,

    /// Use IPv4 only.
    #[arg(long, short = '4', global = true)]
    ipv4: bool,

    /// Time limit for the whole command, except for serve: 90, 90s, 5m, 1h.
    #[arg(long, global = true, value_name = "TIME", env = "LONGSHORE_TIMEOUT")]
    timeout: Option<Given<Time>>,

    /// Time limit for establishing a connection [default: 30s].
    #[arg(long, global = true, value_name = "TIME", env = "LONGSHORE_CONNECT_TIMEOUT")]
    connect_timeout: Option<Given<Time>>,

    /// Time limit for the start of a reply, and for each pause in a reply [default: 60s and 30s].
    ///
    /// Waits of more than 5s are reported on stderr, unless --quiet is given.
    #[arg(long, global = true, value_name = "TIME", env = "LONGSHORE_IDLE_TIMEOUT")]
    idle_timeout: Option<Given<Time>>,

    /// Do not use or store what earlier commands determined about registries.
    #[arg(long, global = true)]
    no_cache: bool,

    /// User-Agent header of requests.
    #[arg(long, global = true, value_name = "TEXT", env = "LONGSHORE_USER_AGENT")]
    user_agent: Option<Given<UserAgent>>,
}

impl Network {
    /// Returns the time limit of the whole command, if any.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        one(self.timeout.as_ref()).map(|time| time.0)
    }

    /// Returns a client builder with these settings.
    pub(crate) fn builder(&self) -> Result<ClientBuilder> {
        let mut settings = Settings::default();
        for scheme in all(&self.scheme) {
            settings.of(scheme.registry.as_ref()).scheme = Some(scheme.value);
        }
        for BaseUrl(url) in all(&self.registry_url) {
            let own = settings.of(Some(url.registry()));
            own.prefix = url.settings().prefix;
            own.scheme = url.scheme().or(own.scheme);
        }
        for registry in all(&self.plain_http) {
            settings.of(Some(registry)).scheme = Some(Scheme::Http);
        }
        for registry in all(&self.skip_tls_verify) {
            settings.of(Some(registry)).verification = Some(Verification::Skip);
        }
        for file in all(&self.ca_file) {
            let certificates = Some(certificates(&file.value.0)?);
            settings.of(file.registry.as_ref()).root_certificates = certificates;
        }
        for pair in all(&self.client_cert) {
            let CertificateAndKey(certificate, key) = &pair.value;
            let shown = ClientCertificate::from_pem(&content(certificate)?, &content(key)?)
                .map_err(|e| in_file(certificate, e))?;
            settings.of(pair.registry.as_ref()).client_certificate = Some(shown);
        }
        let mut builder = Client::builder()
            .default_settings(settings.every)
            .certificate_folders(self.folders())
            .limits(self.limits());
        let environment = Environment::from_process();
        if let Some(folder) = environment.cache_folder().filter(|_| !self.no_cache) {
            builder = builder.cache_folder(folder.join("registries"));
        }
        if let Some(folder) = environment.state_folder() {
            builder = builder.state_folder(folder.join("uploads"));
        }
        for (registry, own) in settings.single {
            builder = builder.settings(registry, own);
        }
        self.connections(builder)
    }

    fn connections(&self, mut builder: ClientBuilder) -> Result<ClientBuilder> {
        for addresses in &self.resolve {
            builder = builder.host_addresses(addresses.clone());
        }
        if self.ipv4 {
            builder = builder.address_family(AddressFamily::Ipv4);
        }
        if let Some(user_agent) = one(self.user_agent.as_ref()) {
            builder = builder.user_agent(user_agent.clone());
        }
        let proxies = match one(self.proxy.as_ref()) {
            None => return Ok(builder),
            Some(Through(None)) => Proxies::none(),
            Some(Through(Some(proxy))) => {
                let proxy = match &self.proxy_ca_file {
                    Some(file) => proxy.clone().root_certificates(certificates(file)?),
                    None => proxy.clone(),
                };
                let except = self.no_proxy.as_deref().unwrap_or_default();
                Proxies::all(proxy).except(NoProxy::parse(except))
            }
        };
        Ok(builder.proxies(proxies))
    }

    fn folders(&self) -> CertificateFolders {
        match one(self.cert_dir.as_ref()) {
            Some(folder) => CertificateFolders::new([folder.clone()]),
            None => CertificateFolders::from_environment(&Environment::from_process()),
        }
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(Time(time)) = one(self.connect_timeout.as_ref()) {
            limits.connect = *time;
        }
        if let Some(Time(time)) = one(self.idle_timeout.as_ref()) {
            (limits.response, limits.idle) = (*time, *time);
        }
        limits
    }
}

/// The default settings, and the settings of single registries.
#[derive(Default)]
struct Settings {
    every: RegistrySettings,
    single: BTreeMap<RegistryName, RegistrySettings>,
}

impl Settings {
    fn of(&mut self, registry: Option<&RegistryName>) -> &mut RegistrySettings {
        match registry {
            Some(registry) => self.single.entry(registry.clone()).or_default(),
            None => &mut self.every,
        }
    }
}

fn certificates(path: &Path) -> Result<RootCertificates> {
    RootCertificates::from_pem(&content(path)?).map_err(|e| in_file(path, e))
}

fn content(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

fn in_file(path: &Path, error: Error) -> Error {
    Error::new(error.kind()).at(path.display()).with_source(error)
}

/// The path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File(PathBuf);

impl FromStr for File {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Err(ParseError::new("file", text, "the path is empty")),
            path => Ok(Self(path.into())),
        }
    }
}

/// A client certificate and its key: `CERT,KEY`.
#[derive(Clone, Debug)]
struct CertificateAndKey(PathBuf, PathBuf);

impl FromStr for CertificateAndKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(',') {
            Some((certificate, key)) if !certificate.is_empty() && !key.is_empty() => {
                Ok(Self(certificate.into(), key.into()))
            }
            _ => Err(ParseError::new("client certificate", text, "expected CERT,KEY: two files")),
        }
    }
}

/// A registry's URL without user name and password, because all users of the machine can see the
/// command line.
#[derive(Clone, Debug)]
struct BaseUrl(RegistryUrl);

impl FromStr for BaseUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let url = RegistryUrl::parse(text)?;
        match url.login() {
            None => Ok(Self(url)),
            Some(_) => {
                let reason = "expected no user name or password; use longshore login";
                Err(ParseError::new("registry URL", &url.to_string(), reason))
            }
        }
    }
}

/// A proxy, or none.
#[derive(Clone, Debug)]
struct Through(Option<Proxy>);

impl FromStr for Through {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

/// A duration: a number with the unit `ms`, `s`, `m` or `h`. The default unit is the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(Duration);

impl FromStr for Time {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let milliseconds = match &text[digits..] {
            "ms" => Some(1),
            "" | "s" => Some(1000),
            "m" => Some(60 * 1000),
            "h" => Some(60 * 60 * 1000),
            _ => None,
        };
        let time =
            milliseconds.and_then(|unit| text[..digits].parse::<u64>().ok()?.checked_mul(unit));
        match time {
            Some(time) if time > 0 => Ok(Self(Duration::from_millis(time))),
            _ => Err(ParseError::new(
                "time",
                text,
                "expected a time such as 90, 500ms, 90s, 5m or 1h",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_with_units() {
        for (text, milliseconds) in
            [("90", 90_000), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(text.parse::<Time>().unwrap().0.as_millis(), milliseconds, "{text}");
        }
        for bad in ["", "0", "s", "1d", "-1", "1.5s", "99999999999999999999", "5 m"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    #[test]
    fn empty_file_paths_are_refused() {
        assert_eq!("ca.pem".parse(), Ok(File("ca.pem".into())));
        assert!("".parse::<File>().is_err());
        for bad in ["", "cert.pem", "cert.pem,", ",key.pem"] {
            assert!(bad.parse::<CertificateAndKey>().is_err(), "{bad}");
        }
    }
}
