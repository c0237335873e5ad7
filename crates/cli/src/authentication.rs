//! Authentication options, for all registries or for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use longshore::{
    Authentication, BasicAuth, ClientBuilder, Error, ErrorKind, InitialAuth, RegistryName,
    TokenService,
};

use crate::given::Given;

/// Authentication options.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options for credentials")]
pub(crate) struct AuthenticationOptions {
    /// Folder of Docker's config.json [default: ~/.docker].
    #[arg(long, global = true, value_name = "DIR", env = "DOCKER_CONFIG")]
    pub(crate) config: Option<Given<PathBuf>>,

    /// Use credentials only from this file, in the format of Docker's config.json.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) auth_file: Option<Given<PathBuf>>,

    /// Basic authentication: send the password with the first request (first), or only to the
    /// token service (never).
    #[arg(
        long,
        global = true,
        value_name = "[REGISTRY=]first|never",
        env = "LONGSHORE_BASIC_AUTH",
        value_delimiter = ','
    )]
    basic_auth: Vec<For<Basic>>,

    /// Token service URL for this registry, instead of the URL that the registry names. The URL may
    /// end in ?service=NAME.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY=URL",
        env = "LONGSHORE_TOKEN_SERVICE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    token_service: Vec<For<Url>>,

    /// Token service host for this registry, instead of the host that the registry names.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY=HOST",
        env = "LONGSHORE_TOKEN_HOST",
        value_delimiter = ','
    )]
    token_host: Vec<For<Host>>,
}

impl AuthenticationOptions {
    /// Applies these options to a client builder.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let mut every = Authentication::default();
        for Basic(way) in
            self.basic_auth.iter().filter(|g| g.registry.is_none()).filter_map(For::value)
        {
            way(&mut every);
        }
        let mut single = BTreeMap::new();
        let mut change = |registry: Option<&RegistryName>, change: &dyn Fn(&mut Authentication)| {
            if let Some(registry) = registry {
                change(single.entry(registry.clone()).or_insert_with(|| every.clone()));
            }
        };
        for given in &self.basic_auth {
            change(given.registry.as_ref(), &|own| {
                given.value().into_iter().for_each(|b| b.0(own))
            });
        }
        for given in &self.token_service {
            let service = given.value().map(|url| url.0.clone());
            change(given.registry.as_ref(), &|own| own.token_service.clone_from(&service));
        }
        for given in &self.token_host {
            let host = given.value().map(|host| host.0.clone());
            change(given.registry.as_ref(), &|own| own.token_host.clone_from(&host));
        }
        let builder = builder.default_authentication(every);
        single.into_iter().fold(builder, |b, (registry, own)| b.authentication(registry, own))
    }
}

/// A value for one registry or for all. Both fields are `None` for an empty environment variable.
#[derive(Clone, Debug)]
struct For<T> {
    registry: Option<RegistryName>,
    value: Option<T>,
}

impl<T> For<T> {
    fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

/// The value of an option that may or must name a registry.
trait Value: FromStr<Err = Error> {
    const NEEDS_REGISTRY: bool;
}

impl<T: Value> FromStr for For<T> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (registry, value) = match text.split_once('=') {
            _ if text.is_empty() => return Ok(Self { registry: None, value: None }),
            Some((registry, value)) => (Some(registry.parse::<RegistryName>()?), value),
            None if T::NEEDS_REGISTRY => {
                return Err(Error::new(ErrorKind::Invalid).detail("expected REGISTRY=VALUE"));
            }
            None => (None, text),
        };
        Ok(Self { registry, value: Some(value.parse()?) })
    }
}

/// A choice for Basic authentication, as a function that changes the settings.
#[derive(Clone, Copy, Debug)]
struct Basic(fn(&mut Authentication));

impl FromStr for Basic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "first" => Ok(Self(|settings| settings.opening = InitialAuth::Basic)),
            "never" => Ok(Self(|settings| settings.basic = BasicAuth::Never)),
            _ => Err(Error::new(ErrorKind::Invalid).detail("expected \"first\" or \"never\"")),
        }
    }
}

impl Value for Basic {
    const NEEDS_REGISTRY: bool = false;
}

#[derive(Clone, Debug)]
struct Url(TokenService);

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        TokenService::new(text, None).map(Self)
    }
}

impl Value for Url {
    const NEEDS_REGISTRY: bool = true;
}

#[derive(Clone, Debug)]
struct Host(RegistryName);

impl FromStr for Host {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Self(text.parse()?))
    }
}

impl Value for Host {
    const NEEDS_REGISTRY: bool = true;
}
