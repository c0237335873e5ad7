//! The options that every command has.

use std::path::PathBuf;

use clap::Args;

use crate::authentication::AuthenticationOptions;
use crate::given::Given;
use crate::network::Network;
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

    #[command(flatten)]
    pub(crate) network: Network,

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
