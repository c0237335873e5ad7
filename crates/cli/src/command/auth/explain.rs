use std::fmt;

use clap::Args;
use longshore::{AuthReport, CredentialKind, Error, EscapedText, Result, Scope};
use serde::Serialize;

use super::AccessArguments;
use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore auth explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore auth explain nginx
  longshore auth explain ghcr.io/a/b --action pull,push --json

No secrets are printed. If the token is a JSON Web Token, its access rights are printed, but its \
signature is not checked.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    access: AccessArguments,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let repository = arguments.access.repository()?;
    let scopes = arguments.access.scopes(&repository);
    let report = context.client()?.explain_auth(&repository, &scopes).await?;
    context.output().report(&Answer::new(repository.to_string(), &report))
}

/// The authentication steps, in order.
#[derive(Serialize)]
struct Answer {
    repository: String,
    /// The results of the credential sources that were queried, in order.
    lookups: Vec<CredentialLookup>,
    credential: Credential,
    challenge: Vec<String>,
    token_service: Option<String>,
    requested_scopes: Vec<String>,
    /// The granted scopes, if the token service or the token states them.
    granted: Option<Vec<String>>,
    expires_in: Option<u64>,
    failure: Option<String>,
    /// The HTTP status of a request for the repository's tags.
    status: Option<u16>,
}

#[derive(Serialize)]
struct CredentialLookup {
    found: bool,
    description: String,
}

#[derive(Serialize)]
struct Credential {
    kind: &'static str,
    user: Option<String>,
    source: String,
}

impl Answer {
    fn new(repository: String, report: &AuthReport) -> Self {
        let shown = |scopes: &[Scope]| scopes.iter().map(ToString::to_string).collect();
        let token = report.token.as_ref();
        let lookups = report.lookups.iter();
        let credential = &report.credential;
        Self {
            repository,
            lookups: lookups
                .map(|l| CredentialLookup { found: l.found, description: l.description.clone() })
                .collect(),
            credential: Credential {
                kind: kind(credential.kind()),
                user: credential.user().map(str::to_owned),
                source: credential.source().to_owned(),
            },
            challenge: report.challenge.clone(),
            token_service: report.token_service.clone(),
            requested_scopes: shown(&report.requested_scopes),
            granted: token.and_then(|token| token.granted.as_deref()).map(shown),
            expires_in: token.map(|token| token.lifetime.as_secs()),
            failure: report.failure.as_deref().map(failure),
            status: report.status,
        }
    }

    /// Describes the result of the request for the repository's tags.
    fn outcome(&self) -> String {
        match (self.status, &self.failure) {
            (_, Some(failure)) => failure.clone(),
            (Some(200), None) => "accepted (HTTP 200)".to_owned(),
            (Some(status @ (401 | 403)), None) => format!("refused (HTTP {status})"),
            (Some(404), None) => {
                "accepted, but the repository does not exist (HTTP 404)".to_owned()
            }
            (Some(status), None) => format!("HTTP {status}"),
            (None, None) => "not tried".to_owned(),
        }
    }
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let line = |to: &mut dyn fmt::Write, name: &str, text: &str| {
            writeln!(to, "{name:<15} {}", EscapedText(text))
        };
        line(to, "repository", &self.repository)?;
        for (i, lookup) in self.lookups.iter().enumerate() {
            let mark = if lookup.found { "used:" } else { "skipped:" };
            let name = if i == 0 { "sources" } else { "" };
            line(to, name, &format!("{mark} {}", lookup.description))?;
        }
        let user = match &self.credential.user {
            Some(user) => format!(" of {user}"),
            None => String::new(),
        };
        let Credential { kind, source, .. } = &self.credential;
        line(to, "credential", &format!("{kind}{user}: {source}"))?;
        match &self.challenge[..] {
            [] if self.failure.is_some() => line(to, "challenge", "none received")?,
            [] => line(to, "challenge", "none: the registry requires no credentials")?,
            all => all.iter().try_for_each(|challenge| line(to, "challenge", challenge))?,
        }
        if let Some(service) = &self.token_service {
            line(to, "token service", service)?;
            line(to, "requested", &scopes(&self.requested_scopes))?;
            let granted = self.granted.as_deref().map_or_else(|| "not stated".to_owned(), scopes);
            line(to, "granted", &granted)?;
        }
        if let Some(seconds) = self.expires_in {
            line(to, "valid for", &format!("{seconds} seconds"))?;
        }
        line(to, "outcome", &self.outcome())
    }
}

fn scopes(all: &[String]) -> String {
    match all {
        [] => "nothing".to_owned(),
        all => all.join(" "),
    }
}

fn kind(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Anonymous => "none",
        CredentialKind::Login => "password",
        CredentialKind::IdentityToken => "identity token",
        CredentialKind::RegistryToken => "registry token",
        CredentialKind::Authorization => "authorization header",
        _ => "other",
    }
}

/// Formats an error and its hint on one line.
fn failure(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}
