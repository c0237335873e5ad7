//! The chain of credential sources, queried in order.

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

/// The usual credential sources, queried in order until one has a credential.
///
/// The caller's credentials take precedence over the environment, and the environment over files:
///
/// 1. sources added with [`before`](Self::before);
/// 2. `LONGSHORE_TOKEN` (`registry=token`, several separated by spaces or commas),
///    `LONGSHORE_AUTHORIZATION` (`registry=value`, several separated by line breaks) and
///    `LONGSHORE_CREDENTIALS` (`https://user:password@registry[/path]`, several separated by
///    spaces);
/// 3. `DOCKER_AUTH_CONFIG`: the content of a `config.json`;
/// 4. the file that `REGISTRY_AUTH_FILE` names;
/// 5. Docker's `config.json`, in the folder `DOCKER_CONFIG`, else in `~/.docker`;
/// 6. unless `REGISTRY_AUTH_FILE` is set, podman's `${XDG_RUNTIME_DIR}/containers/auth.json` and
///    `${XDG_CONFIG_HOME}/containers/auth.json`, where `XDG_CONFIG_HOME` defaults to `~/.config`;
/// 7. the file that `NETRC` names, else `~/.netrc`.
///
/// Within a source, the most specific entry for a repository wins. A source without a matching
/// entry is skipped. If a source fails, the lookup fails, so that no other identity is used by
/// accident. Files are read on each lookup, so that a long-lived client uses new logins.
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

    /// Makes a chain of the sources 2 to 7, according to these environment variables.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `LONGSHORE_TOKEN`, `LONGSHORE_AUTHORIZATION`,
    /// `LONGSHORE_CREDENTIALS` or `DOCKER_AUTH_CONFIG` is malformed. The error does not quote the
    /// variable's value.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let helpers = Helpers::from_environment(environment);
        let mut all = Self::new();
        if let Some(preset) = from_variables(environment)? {
            all = all.after(preset);
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

    /// Makes a chain of a single file in the format of `config.json` or `auth.json`.
    #[must_use]
    pub fn from_file(path: &Path, environment: &Environment) -> Self {
        Self::new().after(DockerFile::new(path, Helpers::from_environment(environment)))
    }

    /// Adds a source before all others.
    #[must_use]
    pub fn before(mut self, store: impl CredentialStore + 'static) -> Self {
        self.stores.insert(0, Arc::new(store));
        self
    }

    /// Adds a source after all others.
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
        let mut misses = Vec::new();
        for store in &self.stores {
            let found = store.get(registry, repository).await?;
            if !found.is_anonymous() {
                return Ok(found);
            }
            misses.push(found);
        }
        Ok(anonymous_with_reason(misses))
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

/// Makes an anonymous credential with the most helpful reason: the reason of the only source, else
/// the first reason that names a credential helper, else that no source has an entry.
fn anonymous_with_reason(mut misses: Vec<Credential>) -> Credential {
    match misses.len() {
        1 => misses.remove(0),
        _ => {
            // A configured helper may be missing by mistake. A missing file is normal.
            let informative =
                misses.into_iter().find(|c| c.source().contains("docker-credential-"));
            informative.unwrap_or_else(|| {
                Credential::anonymous("no credentials in the environment or in any file")
            })
        }
    }
}

/// Parses the environment variables whose values are credentials.
fn from_variables(environment: &Environment) -> Result<Option<MemoryCredentials>> {
    let mut preset = MemoryCredentials::new();
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
            preset = preset.with_credential(key, credential);
            any = true;
        }
    }
    for url in environment.text(URLS).unwrap_or_default().split_ascii_whitespace() {
        preset = preset.with_url(url, URLS).map_err(|_| unreadable(URLS))?;
        any = true;
    }
    Ok(any.then_some(preset))
}

fn unreadable(variable: &str) -> Error {
    let form = match variable {
        URLS => "https://user:password@registry[/path]",
        _ => "registry=value",
    };
    Error::new(ErrorKind::Invalid)
        .at(variable)
        .detail(format!("expected the form {form}"))
        .with_hint("The value is not shown, because it may be a secret.")
}

/// Returns the paths of podman's files.
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
