//! Options of every command.

use std::path::PathBuf;

use clap::Args;

use crate::authentication::AuthenticationOptions;
use crate::network::Network;
use crate::output::Format;
use crate::progress::Style;
use crate::template::Template;

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,

    /// Print results as this template shows them, with the fields of --json: `{{.digest}}`, or the
    /// syntax of Jinja.
    #[arg(long, global = true, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<Template>,

    /// Print progress and long waits as JSON on stderr, one event per line.
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub(crate) events: bool,

    /// Hide progress and long waits.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Log requests to stderr and show all causes of errors (-vv logs more).
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write all requests, without secrets and bodies, to this HAR file, which browsers can show.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) network: Network,

    #[command(flatten)]
    pub(crate) authentication: AuthenticationOptions,
}

impl Global {
    /// Returns the format of results.
    pub(crate) fn output_format(&self) -> Format {
        match (&self.format, self.json) {
            (Some(template), _) => Format::Template(template.clone()),
            (None, true) => Format::Json,
            (None, false) => Format::Text,
        }
    }

    pub(crate) fn style(&self) -> Style {
        match (self.events, self.quiet) {
            (true, _) => Style::Events,
            (_, true) => Style::Quiet,
            _ => Style::Auto,
        }
    }
}
