use std::io::Read as _;

use clap::Args;
use longshore::{
    Credential, CredentialKey, Error, ErrorKind, Login, MemoryCredentials, Result, Secret,
    StoredIn, run_blocking,
};

use crate::context::Context;
use crate::message::{ask, warn};

/// The arguments of `longshore login`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore login ghcr.io -u me
  longshore login ghcr.io/my-org -u me
  echo \"$TOKEN\" | longshore login ghcr.io -u me --password-stdin

The credentials are stored only if the registry accepts them. If the registry requires no \
credentials, they are stored unchecked, with a warning. They are stored in the credential helper \
that Docker's config.json names for the registry, or else in config.json. --auth-file replaces \
config.json.

A registry on this machine (localhost or a loopback address) may receive credentials over plain \
HTTP. For any other registry, plain HTTP requires --plain-http. The stored entry then starts with \
http://, which permits later commands to send the credentials over plain HTTP. Later commands \
select plain HTTP with --plain-http or --scheme http. --scheme detect does not replace \
--plain-http for a login.")]
pub(crate) struct Arguments {
    /// The registry (docker.io for Docker Hub). With a path, the credentials are used only for
    /// repositories at or below that path.
    #[arg(value_name = "REGISTRY[/PATH]")]
    registry: CredentialKey,
    /// User name [default: prompt].
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Read the password or token from standard input.
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut key = arguments.registry;
    let registry = key.registry().clone();
    let user = match arguments.username {
        Some(user) => user,
        None if arguments.password_stdin => {
            return Err(Error::new(ErrorKind::Invalid)
                .at(&key)
                .detail("expected a user name with --password-stdin")
                .with_hint("Add --username NAME."));
        }
        None => run_blocking(|| ask("User: ")).await?,
    };
    let ping = context.client()?.ping(&registry).await?;
    if ping.authentication.is_empty() {
        warn(format_args!("{registry} requires no credentials, so they were not checked"));
    }
    if ping.exposed && ping.detected {
        return Err(Error::new(ErrorKind::Unauthorized)
            .at(&key)
            .detail("scheme detection found plain HTTP, so the password was not sent")
            .with_hint(format!("To send the password unencrypted, add --plain-http {registry}.")));
    }
    if ping.exposed {
        warn(format_args!("{registry} uses plain HTTP: the password is sent unencrypted"));
        key = key.over_plain_http();
    }
    // A read from standard input blocks its thread. It runs on another thread, so that this thread
    // can handle signals.
    let read = if arguments.password_stdin { from_stdin } else { from_prompt };
    let login = Login { user, password: run_blocking(read).await? };
    let typed = Credential::login(login.user.as_str(), login.password.clone(), "the caller");
    let whole: CredentialKey = registry.clone().into();
    let whole = if key.is_plain_http() { whole.over_plain_http() } else { whole };
    let typed = MemoryCredentials::new().with_credential(whole, typed);
    context.client_with(typed)?.check_credentials(&registry).await?;
    let mut config = context.config()?;
    let kept = config.set(&key, &login).await?;
    let place = match kept {
        StoredIn::Helper(program) => program,
        _ => config.path().display().to_string(),
    };
    let user = &login.user;
    context.output().changed(
        format_args!("stored credentials of {user} for {key} in {place}"),
        &serde_json::json!({ "registry": key.to_string(), "user": user, "file": place }),
    )
}

/// Reads the password from standard input, without the line ending.
fn from_stdin() -> Result<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_LIMIT + 1).read_to_string(&mut text);
    read.map_err(|e| Error::new(ErrorKind::Io).at("standard input").with_source(e))?;
    if text.len() as u64 > PASSWORD_LIMIT {
        return Err(Error::new(ErrorKind::TooLarge)
            .at("standard input")
            .detail(format!("expected a password of at most {PASSWORD_LIMIT} bytes")));
    }
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::new(ErrorKind::Invalid)
            .at("standard input")
            .detail("expected a password, found none"));
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

/// 64 KiB: a token is a few KiB in size.
const PASSWORD_LIMIT: u64 = 64 << 10;
