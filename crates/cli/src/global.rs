//! The options that every command has.

use std::path::PathBuf;

use clap::Args;
use longshore::RegistryName;

use crate::authentication::AuthenticationOptions;
use crate::progress::Style;

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print progress as JSON, an event a line, on stderr.
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub(crate) events: bool,

    /// Print no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Say on stderr what is asked of registries; twice for more.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Speak plain HTTP with this registry, also when sending credentials. Loopback needs no asking,
    /// except for credentials.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY",
        env = "LONGSHORE_PLAIN_HTTP",
        value_delimiter = ','
    )]
    pub(crate) plain_http: Vec<Given<RegistryName>>,

    /// Accept any certificate from this registry. Its identity is then not checked.
    #[arg(
        long,
        global = true,
        value_name = "REGISTRY",
        env = "LONGSHORE_SKIP_TLS_VERIFY",
        value_delimiter = ','
    )]
    pub(crate) skip_tls_verify: Vec<Given<RegistryName>>,

    /// Trust the certificates in this PEM file too, for every registry or for one.
    #[arg(
        long,
        global = true,
        value_name = "[REGISTRY=]FILE",
        env = "LONGSHORE_CA_FILE",
        value_delimiter = ','
    )]
    pub(crate) ca_file: Vec<Given<CaFile>>,

    /// The folder of Docker's config.json, for credentials [default: ~/.docker].
    #[arg(long, global = true, value_name = "DIR", env = "DOCKER_CONFIG")]
    pub(crate) config: Option<Given<PathBuf>>,

    /// A file like config.json or podman's auth.json, for credentials in place of all other sources.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) auth_file: Option<Given<PathBuf>>,

    #[command(flatten)]
    pub(crate) authentication: AuthenticationOptions,
}

impl Global {
    pub(crate) fn style(&self) -> Style {
        match (self.events, self.quiet) {
            (true, _) => Style::Events,
            (_, true) => Style::Quiet,
            _ => Style::Auto,
        }
    }
}

/// A value, or nothing: an environment variable that is empty is one that is not set.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T: std::str::FromStr> std::str::FromStr for Given<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

/// Certificates to trust, for every registry or for one.
#[derive(Clone, Debug)]
pub(crate) struct CaFile {
    pub(crate) registry: Option<RegistryName>,
    pub(crate) path: PathBuf,
}

impl std::str::FromStr for CaFile {
    type Err = longshore::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('=') {
            Some((registry, path)) => Self { registry: Some(registry.parse()?), path: path.into() },
            None => Self { registry: None, path: text.into() },
        })
    }
}
