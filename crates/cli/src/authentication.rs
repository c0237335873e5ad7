//! Authentication options, for all registries or for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use longshore::{
    Authentication, BasicAuth, ClientBuilder, InitialAuth, ParseError, RegistryName, Result,
    TokenService,
};

use crate::given::{ForOneRegistry, ForRegistry, Given, all};

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
    basic_auth: Vec<Given<ForRegistry<Basic>>>,

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
    token_service: Vec<Given<ForOneRegistry<Url>>>,

    /// Token service host for this registry, instead of the host that the registry names.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY=HOST",
        env = "LONGSHORE_TOKEN_HOST",
        value_delimiter = ','
    )]
    token_host: Vec<Given<ForOneRegistry<RegistryName>>>,
}

impl AuthenticationOptions {
    /// Applies these options to a client builder.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let mut settings = Settings::default();
        for given in all(&self.basic_auth).filter(|given| given.registry.is_none()) {
            given.value.apply(&mut settings.every);
        }
        for given in all(&self.basic_auth) {
            if let Some(registry) = &given.registry {
                given.value.apply(settings.of(registry));
            }
        }
        for given in all(&self.token_service) {
            settings.of(&given.registry).token_service = Some(given.value.0.clone());
        }
        for given in all(&self.token_host) {
            settings.of(&given.registry).token_host = Some(given.value.clone());
        }
        let builder = builder.default_authentication(settings.every);
        let single = settings.single.into_iter();
        single.fold(builder, |builder, (registry, own)| builder.authentication(registry, own))
    }
}

/// The default settings, and the settings of single registries, which start as copies of the
/// default settings.
#[derive(Default)]
struct Settings {
    every: Authentication,
    single: BTreeMap<RegistryName, Authentication>,
}

impl Settings {
    fn of(&mut self, registry: &RegistryName) -> &mut Authentication {
        self.single.entry(registry.clone()).or_insert_with(|| self.every.clone())
    }
}

/// When a password is sent with Basic authentication.
#[derive(Clone, Copy, Debug)]
enum Basic {
    First,
    Never,
}

impl Basic {
    fn apply(self, settings: &mut Authentication) {
        match self {
            Self::First => settings.opening = InitialAuth::Basic,
            Self::Never => settings.basic = BasicAuth::Never,
        }
    }
}

impl FromStr for Basic {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "first" => Ok(Self::First),
            "never" => Ok(Self::Never),
            _ => Err(ParseError::new("use of Basic", text, "expected \"first\" or \"never\"")),
        }
    }
}

/// The URL of a token service.
#[derive(Clone, Debug)]
struct Url(TokenService);

impl FromStr for Url {
    type Err = longshore::Error;

    fn from_str(text: &str) -> Result<Self> {
        TokenService::new(text, None).map(Self)
    }
}
