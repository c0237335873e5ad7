//! The order in which sources of credentials are asked.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result};

use super::docker_config::DockerFile;
use super::{
    Credential, CredentialKey, CredentialStore, DockerConfig, Helpers, MemoryCredentials, Netrc,
    Secret,
};
use crate::environment::Environment;

/// The usual sources of credentials, asked in order until one has some.
///
/// The caller's credentials win over the environment, and the environment over files:
///
/// 1. sources added with [`before`](Self::before);
/// 2. `LONGSHORE_TOKEN` (`registry=token`), `LONGSHORE_AUTHORIZATION` (`registry=value`) and
///    `LONGSHORE_CREDENTIALS` (`https://user:password@registry[/path]`), each several separated by
///    spaces, by commas too in `LONGSHORE_TOKEN`, by line ends in `LONGSHORE_AUTHORIZATION`;
/// 3. `DOCKER_AUTH_CONFIG`: the content of a `config.json`;
/// 4. the file that `REGISTRY_AUTH_FILE` names;
/// 5. Docker's `config.json`, in the folder `DOCKER_CONFIG`, else in `~/.docker`;
/// 6. unless `REGISTRY_AUTH_FILE` is set, podman's `${XDG_RUNTIME_DIR}/containers/auth.json` and
///    `${XDG_CONFIG_HOME}/containers/auth.json`, where that is `~/.config` unless it is set;
/// 7. the file that `NETRC` names, else `~/.netrc`.
///
/// Within a source, the entry that fits a repository most closely wins. A source without an entry is
/// skipped. A broken source is an error, so that no other identity is used by accident. Files are
/// read on each lookup, so that a long-lived client sees a new login.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    stores: Vec<Arc<dyn CredentialStore>>,
}

impl Credentials {
    /// Makes a chain without sources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all sources in these environment variables and in the files that they name.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `LONGSHORE_TOKEN`, `LONGSHORE_AUTHORIZATION`,
    /// `LONGSHORE_CREDENTIALS` or `DOCKER_AUTH_CONFIG` is malformed; the error does not quote it.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let helpers = Helpers::from_environment(environment);
        let mut all = Self::new();
        if let Some(given) = given(environment)? {
            all = all.after(given);
        }
        if let Some(text) = environment.text(DOCKER_AUTH_CONFIG) {
            let config = DockerConfig::from_json(text.as_bytes(), DOCKER_AUTH_CONFIG)?;
            all = all.after(config.with_helpers(helpers.clone()));
        }
        let file = |path: &Path| DockerFile::new(path, helpers.clone());
        let named = environment.path("REGISTRY_AUTH_FILE");
        let docker = DockerConfig::path_in(environment);
        let podman = match named {
            Some(_) => Vec::new(),
            None => podman_files(environment),
        };
        for path in named.into_iter().chain(docker).chain(podman) {
            all = all.after(file(&path));
        }
        match Netrc::path_in(environment) {
            Some(path) => Ok(all.after(Netrc::from_file(path))),
            None => Ok(all),
        }
    }

    /// Takes a single file in the format of `config.json` or `auth.json`.
    #[must_use]
    pub fn from_file(path: &Path, environment: &Environment) -> Self {
        Self::new().after(DockerFile::new(path, Helpers::from_environment(environment)))
    }

    /// Adds a source that is asked first.
    #[must_use]
    pub fn before(mut self, store: impl CredentialStore + 'static) -> Self {
        self.stores.insert(0, Arc::new(store));
        self
    }

    /// Adds a source that is asked last.
    #[must_use]
    pub fn after(mut self, store: impl CredentialStore + 'static) -> Self {
        self.stores.push(Arc::new(store));
        self
    }
}

#[async_trait]
impl CredentialStore for Credentials {
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential> {
        let mut nothing = Vec::new();
        for store in &self.stores {
            let found = store.get(registry, repository).await?;
            if !found.is_anonymous() {
                return Ok(found);
            }
            nothing.push(found);
        }
        Ok(summed_up(nothing))
    }

    async fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        let mut seen = Vec::new();
        for store in &self.stores {
            seen.extend(store.look(registry, repository).await);
            if !matches!(seen.last(), Some(Ok(last)) if last.is_anonymous()) {
                break;
            }
        }
        seen
    }
}

/// Makes the anonymous credential with the most helpful reason: that of the only source, else that
/// no source has an entry.
fn summed_up(mut nothing: Vec<Credential>) -> Credential {
    match nothing.len() {
        1 => nothing.remove(0),
        _ => {
            // A named helper that cannot be asked is mentioned; an absent file is not.
            let telling = nothing.into_iter().find(|c| c.source().contains("docker-credential-"));
            telling.unwrap_or_else(|| {
                Credential::anonymous("no credentials for it in the environment or in any file")
            })
        }
    }
}

/// Reads the credentials in the variables themselves.
fn given(environment: &Environment) -> Result<Option<MemoryCredentials>> {
    let mut given = MemoryCredentials::new();
    let mut any = false;
    for (variable, separators) in [(TOKEN, &[' ', ','][..]), (AUTHORIZATION, &['\n'])] {
        let text = environment.text(variable).unwrap_or_default();
        for pair in text.split(separators).map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| unreadable(variable))?;
            let key = CredentialKey::parse(key).map_err(|_| unreadable(variable))?;
            let value = Secret::new(value);
            let credential = match variable {
                TOKEN => Credential::registry_token(value, variable),
                _ => Credential::authorization(value, variable),
            };
            given = given.with_credential(key, credential);
            any = true;
        }
    }
    for url in environment.text(URLS).unwrap_or_default().split_ascii_whitespace() {
        given = given.with_url(url, URLS).map_err(|_| unreadable(URLS))?;
        any = true;
    }
    Ok(any.then_some(given))
}

fn unreadable(variable: &str) -> Error {
    let form = match variable {
        URLS => "https://user:password@registry[/path]",
        _ => "registry=value",
    };
    Error::new(ErrorKind::Invalid)
        .at(variable)
        .detail(format!("it is not of the form {form}"))
        .with_hint("Its value is not shown, because it may be a secret.")
}

/// Returns podman's files, besides Docker's.
///
/// Source: containers-auth.json(5).
fn podman_files(environment: &Environment) -> Vec<std::path::PathBuf> {
    let runtime = environment.path("XDG_RUNTIME_DIR");
    let config = environment.path("XDG_CONFIG_HOME");
    let config = config.or_else(|| Some(environment.home()?.join(".config")));
    let folders = [runtime, config].into_iter().flatten();
    folders.map(|folder| folder.join("containers").join("auth.json")).collect()
}

const TOKEN: &str = "LONGSHORE_TOKEN";
const AUTHORIZATION: &str = "LONGSHORE_AUTHORIZATION";
const URLS: &str = "LONGSHORE_CREDENTIALS";
const DOCKER_AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

#[cfg(test)]
mod tests;
