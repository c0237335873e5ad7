use std::fmt;

use clap::Args;
use longshore::Result;
use serde::Serialize;

use super::AccessArguments;
use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore auth token`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore auth token ghcr.io/a/b
  longshore auth token localhost:5000/a/b --action pull,push
  curl -H \"Authorization: Bearer $(longshore auth token nginx)\" \\
    https://registry-1.docker.io/v2/library/nginx/tags/list

Keep the token secret while it is valid. --json also prints its lifetime.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    access: AccessArguments,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let repository = arguments.access.repository()?;
    let scopes = arguments.access.scopes(&repository);
    let token = context.client()?.fetch_token(&repository, &scopes).await?;
    let granted = token.granted.as_ref();
    context.output().report(&Answer {
        token: token.secret.expose().to_owned(),
        expires_in: token.lifetime.as_secs(),
        requested_scopes: scopes.iter().map(ToString::to_string).collect(),
        granted: granted.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
    })
}

#[derive(Serialize)]
struct Answer {
    token: String,
    expires_in: u64,
    requested_scopes: Vec<String>,
    granted: Option<Vec<String>>,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.token)
    }
}
