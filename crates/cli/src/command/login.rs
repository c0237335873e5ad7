use std::io::Read as _;

use clap::Args;
use longshore::{Error, ErrorKind, MemoryCredentials, RegistryName, Result, Secret, blob_file};

use crate::context::Context;
use crate::output::{ask, say};

/// The arguments of `longshore login`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore login ghcr.io -u me
  echo \"$TOKEN\" | longshore login ghcr.io -u me --password-stdin

The credentials are tried first, and stored in Docker's config.json only if they work.")]
pub(crate) struct Arguments {
    /// The registry; docker.io for Docker Hub.
    registry: RegistryName,
    /// The user; asked for if missing.
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Read the password or token from standard input.
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let registry = arguments.registry;
    let user = match arguments.username {
        Some(user) => user,
        None if arguments.password_stdin => {
            return Err(Error::new(ErrorKind::Invalid)
                .at(&registry)
                .detail("with --password-stdin, the user must be given")
                .with_hint("Add --username NAME."));
        }
        None => blob_file::run(|| ask("User: ")).await?,
    };
    // Off this thread, which hears whether to end meanwhile.
    let read = if arguments.password_stdin { from_stdin } else { from_prompt };
    let password = blob_file::run(read).await?;
    let typed = MemoryCredentials::new().with(registry.clone(), user.as_str(), password.clone());
    if context.client()?.ping(&registry).await?.authentication.is_empty() {
        say(format_args!("{registry} asked for no credentials, so these could not be tried"));
    }
    context.client_with(typed)?.authenticate(&registry).await?;
    let mut config = context.config()?;
    config.set(&registry, &user, &password)?;
    let file = config.path().display().to_string();
    context.output().changed(
        format_args!("stored credentials of {user} for {registry} in {file}"),
        &serde_json::json!({ "registry": registry.as_str(), "user": user, "file": file }),
    )
}

/// All of standard input, without the line's end.
fn from_stdin() -> Result<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_LIMIT).read_to_string(&mut text);
    read.map_err(|e| Error::new(ErrorKind::Io).at("standard input").with_source(e))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::new(ErrorKind::Invalid)
            .at("standard input")
            .detail("it holds no password"));
    }
    Ok(Secret::new(password))
}

fn from_prompt() -> Result<Secret> {
    rpassword::prompt_password("Password: ").map(Secret::new).map_err(|e| {
        Error::new(ErrorKind::Io)
            .at("the terminal")
            .with_source(e)
            .with_hint("Without a terminal, pass the password with --password-stdin.")
    })
}

/// 64 KiB: tokens have a few.
const PASSWORD_LIMIT: u64 = 64 << 10;
