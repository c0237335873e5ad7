//! Credential helpers: programs that store credentials, for example in a keychain.
//!
//! Implements the protocol of `docker-credential-<name>`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result, wait};
use serde::Deserialize;

use super::{Credential, CredentialStore, Login, Secret};
use crate::environment::Environment;
use crate::waiting::report_if_long;

mod run;

/// The search path of credential helpers, and the time limit of a call.
#[derive(Clone, Debug)]
pub struct Helpers {
    path: OsString,
    timeout: Duration,
}

impl Helpers {
    /// Returns the search path in the variable `PATH`. The time limit is 30 s per call, because
    /// some helpers prompt the user.
    #[must_use]
    pub fn from_environment(environment: &Environment) -> Self {
        let path = environment.var("PATH").unwrap_or_default().to_owned();
        Self { path, timeout: TIMEOUT }
    }

    /// Sets the time limit of a call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A credential helper, `docker-credential-<name>`.
///
/// The program is run without a shell, and communicates over standard input and output. A program
/// that exceeds the time limit, or writes more than 64 KiB to standard output, is killed.
///
/// Source: docker-credential-helpers, "Development".
#[derive(Clone)]
pub struct CredentialHelper {
    program: String,
    helpers: Helpers,
}

impl CredentialHelper {
    /// Makes a helper from its name.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the name does not consist of 1 to 128 letters, digits,
    /// `.`, `_` and `-`.
    pub fn new(name: &str, helpers: &Helpers) -> Result<Self> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(good) {
            return Err(Error::new(ErrorKind::Invalid)
                .at("the name of a credential helper")
                .detail("expected 1 to 128 letters, digits, '.', '_' and '-'"));
        }
        Ok(Self { program: format!("docker-credential-{name}"), helpers: helpers.clone() })
    }

    /// Returns the program's file name.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Returns true if the program is on the search path.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.find().is_some()
    }

    /// Returns the credential for a registry, or `None` if the helper has none. The user name
    /// `<token>` marks an identity token.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the program does not exist.
    /// [`Timeout`](ErrorKind::Timeout) if the program takes too long.
    /// [`TooLarge`](ErrorKind::TooLarge) if its output is too long. [`Io`](ErrorKind::Io) or
    /// [`Protocol`](ErrorKind::Protocol) if the program fails otherwise.
    pub async fn credential(&self, registry: &RegistryName) -> Result<Option<Credential>> {
        let server = server(registry);
        let output = self.call("get", server.clone().into_bytes()).await?;
        let answer: Reply = match output {
            run::Output::Success(text) => serde_json::from_slice(text.expose().as_bytes())
                .map_err(|_| self.broken("did not answer \"get\" with the expected JSON"))?,
            run::Output::NotFound => return Ok(None),
        };
        let secret = Secret::new(answer.secret);
        let bad = |text: &str| text.contains(char::is_control);
        if bad(&answer.username) || bad(secret.expose()) {
            return Err(self.broken("returned a user name or secret with a control character"));
        }
        if answer.username.is_empty() && secret.expose().is_empty() {
            return Ok(None);
        }
        let source = format!("{}, entry {server}", self.program);
        Ok(Some(match answer.username.as_str() {
            TOKEN_USER => Credential::identity_token("", secret, source),
            _ => Credential::login(answer.username, secret, source),
        }))
    }

    /// Stores a user and password for a registry.
    ///
    /// # Errors
    /// Same as [`credential`](Self::credential).
    pub async fn store(&self, registry: &RegistryName, login: &Login) -> Result<()> {
        let document = serde_json::json!({
            "ServerURL": server(registry),
            "Username": login.user,
            "Secret": login.password.expose(),
        });
        self.call("store", document.to_string().into_bytes()).await.map(drop)
    }

    /// Erases the entry of a registry. Returns true if there was an entry.
    ///
    /// # Errors
    /// Same as [`credential`](Self::credential).
    pub async fn erase(&self, registry: &RegistryName) -> Result<bool> {
        if self.credential(registry).await?.is_none() {
            return Ok(false);
        }
        self.call("erase", server(registry).into_bytes()).await?;
        Ok(true)
    }

    /// Lists the stored servers with their users, ordered by server.
    ///
    /// # Errors
    /// Same as [`credential`](Self::credential).
    pub async fn list(&self) -> Result<Vec<(String, String)>> {
        let servers: std::collections::BTreeMap<String, String> =
            match self.call("list", Vec::new()).await? {
                run::Output::Success(text) => serde_json::from_slice(text.expose().as_bytes())
                    .map_err(|_| self.broken("did not answer \"list\" with the expected JSON"))?,
                run::Output::NotFound => return Ok(Vec::new()),
            };
        Ok(servers.into_iter().collect())
    }

    async fn call(&self, action: &'static str, input: Vec<u8>) -> Result<run::Output> {
        let Some(path) = self.find() else {
            return Err(Error::new(ErrorKind::NotFound)
                .at(&self.program)
                .detail("the program is not on the PATH")
                .with_hint("Install the credential helper, or remove it from the configuration."));
        };
        let (program, timeout) = (self.program.clone(), self.helpers.timeout);
        let work = move || run::run(&path, action, input, timeout).map_err(|e| e.at(program));
        report_if_long(longshore_core::run_blocking(work), || {
            let (long, end) = (wait::seconds(wait::LONG), wait::gives_up(timeout));
            format!("waiting for {}: no answer for {long}{end}", self.program)
        })
        .await
    }

    /// Finds the program's file on the PATH.
    fn find(&self) -> Option<PathBuf> {
        let folders = std::env::split_paths(&self.helpers.path).filter(|f| f.is_absolute());
        let file = format!("{}{}", self.program, std::env::consts::EXE_SUFFIX);
        folders.map(|folder| folder.join(&file)).find(|path| path.is_file())
    }

    fn broken(&self, clause: &'static str) -> Error {
        Error::new(ErrorKind::Protocol).at(&self.program).detail(clause)
    }
}

#[async_trait]
impl CredentialStore for CredentialHelper {
    async fn get(&self, registry: &RegistryName, _: Option<&RepositoryName>) -> Result<Credential> {
        let found = self.credential(registry).await?;
        Ok(found.unwrap_or_else(|| {
            Credential::anonymous(format_args!("{self} has no entry for {registry}"))
        }))
    }
}

impl fmt::Display for CredentialHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

impl fmt::Debug for CredentialHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialHelper({})", self.program)
    }
}

/// Returns the name of a registry for helpers, which is Docker's name for the registry.
fn server(registry: &RegistryName) -> String {
    match registry.is_docker_hub() {
        true => "https://index.docker.io/v1/".to_owned(),
        false => registry.to_string(),
    }
}

/// The reply to `get`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    #[serde(default)]
    username: String,
    secret: String,
}

/// The user name that marks an identity token.
pub(crate) const TOKEN_USER: &str = "<token>";
/// 30 s: some helpers prompt the user.
const TIMEOUT: Duration = Duration::from_secs(30);
const NAME_LIMIT: usize = 128;

#[cfg(test)]
#[cfg(unix)]
pub(super) mod tests;
