//! Docker's `config.json` and podman's `auth.json`: finds credentials, and stores and removes
//! logins.

mod content;
mod entry;
mod folder_lock;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result};

use self::content::{Content, Place};
use super::{Credential, CredentialHelper, CredentialKey, CredentialStore, Helpers, Login};
use crate::environment::Environment;

/// The credentials in a `config.json` or `auth.json`.
///
/// The file is read once. A missing file counts as empty. The most specific entry for a repository
/// wins, which is the entry with the longest path. For equal paths, the order is `credHelpers`,
/// `auths`, a helper for `*.example.com`, and `credsStore`, the helper for all registries. A helper
/// without an entry is skipped.
///
/// Source: Docker CLI, "docker login", configuration file; containers-auth.json(5).
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// The path of the file, or the name of the text in errors.
    name: PathBuf,
    /// False for a text that was not read from a file, so that no file of this name is written.
    is_file: bool,
    content: Content,
    helpers: Helpers,
}

/// The place where a login is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredIn {
    /// The file itself.
    File,
    /// A credential helper, given by the name of its program.
    Helper(String),
}

impl DockerConfig {
    /// Loads `config.json` in the folder that `DOCKER_CONFIG` names, else in `~/.docker`.
    ///
    /// # Errors
    /// Same as [`load_from`](Self::load_from).
    pub fn load() -> Result<Self> {
        Self::from_environment(&Environment::from_process())
    }

    /// Loads the file that [`path_in`](Self::path_in) returns for these variables.
    ///
    /// # Errors
    /// Same as [`load_from`](Self::load_from).
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        match Self::path_in(environment) {
            Some(path) => Self::load_from(path),
            // Without a home directory, there is no file to load.
            None => Self::from_json(b"", FILE_NAME),
        }
    }

    /// Loads the file at `path`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file exists but cannot be read. [`Invalid`](ErrorKind::Invalid)
    /// if the file is not a JSON object of the expected form, or has more than 4 MiB. Both errors
    /// name the file, and do not quote its content.
    pub fn load_from(path: impl Into<PathBuf>) -> Result<Self> {
        let name = path.into();
        let content = Content::read(&name)?;
        let helpers = Helpers::from_environment(&Environment::from_process());
        Ok(Self { name, is_file: true, content, helpers })
    }

    /// Parses the text of a `config.json` from elsewhere, such as `DOCKER_AUTH_CONFIG`.
    ///
    /// - `name`: the name of the text in errors.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), same as [`load_from`](Self::load_from).
    pub fn from_json(text: &[u8], name: &str) -> Result<Self> {
        let name = PathBuf::from(name);
        let content = Content::parse(text, &name)?;
        let helpers = Helpers::from_environment(&Environment::from_process());
        Ok(Self { name, is_file: false, content, helpers })
    }

    /// Returns the path of Docker's `config.json`, in the folder that `DOCKER_CONFIG` names, else
    /// in `~/.docker`.
    #[must_use]
    pub fn path_in(environment: &Environment) -> Option<PathBuf> {
        let folder = environment.path("DOCKER_CONFIG");
        let folder = folder.or_else(|| Some(environment.home()?.join(".docker")));
        folder.map(|folder| folder.join(FILE_NAME))
    }

    /// Sets the search path of credential helpers. Default: the `PATH` of this process.
    #[must_use]
    pub fn with_helpers(mut self, helpers: Helpers) -> Self {
        self.helpers = helpers;
        self
    }

    /// Returns the path of the file, or the name of the text if there is no file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.name
    }

    /// Stores a user and password for a registry, and replaces the old entry. The login is stored
    /// in the credential helper that the file names for the registry, else in the file.
    ///
    /// The file is replaced atomically, and is then readable by its owner only. The other content
    /// of the file is kept.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the credentials were not read from a file, or if
    /// a helper would have to store an entry for a path below a registry. [`Io`](ErrorKind::Io) if
    /// the file cannot be written. The error of the helper if it fails.
    pub async fn set(&mut self, key: &CredentialKey, login: &Login) -> Result<StoredIn> {
        self.check_is_file()?;
        let Some(name) = self.content.helper_for(key.registry()).map(str::to_owned) else {
            let entry = entry::of(login);
            self.change(|content| content.put(key, entry)).await?;
            return Ok(StoredIn::File);
        };
        if key.path().is_some() {
            return Err(Error::new(ErrorKind::Unsupported).at(self.name.display()).detail(format!(
                "{} uses the credential helper \"{name}\", which stores logins only for whole registries",
                key.registry()
            )));
        }
        let helper = self.helper(&name)?;
        helper.store(key.registry(), login).await?;
        // As in Docker, an empty entry means that the helper stores the login.
        self.change(|content| content.put(key, serde_json::json!({}))).await?;
        Ok(StoredIn::Helper(helper.program().to_owned()))
    }

    /// Removes the entry of a registry, or of a path below a registry, from the file. Removes the
    /// entry of a registry from the credential helper, too. Entries under other spellings of the
    /// key are also removed. Returns true if there was an entry.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the entry was not read from a file.
    /// [`Io`](ErrorKind::Io) if the file cannot be written. The error of the helper if it fails.
    pub async fn remove(&mut self, key: &CredentialKey) -> Result<bool> {
        self.check_is_file()?;
        let mut known = self.content.has(key);
        if key.path().is_none()
            && let Some(name) = self.content.helper_for(key.registry()).map(str::to_owned)
        {
            known |= self.helper(&name)?.erase(key.registry()).await?;
        }
        if self.content.has(key) {
            self.change(|content| content.remove(key)).await?;
        }
        Ok(known)
    }

    /// Applies a change to the current content of the file, which may differ from the loaded
    /// content.
    async fn change(&mut self, change: impl FnOnce(&mut Content)) -> Result<()> {
        self.check_is_file()?;
        let folder = content::folder(&self.name)?;
        let _lock = folder_lock::lock_folder(folder).await?;
        let mut content = Content::read(&self.name)?;
        change(&mut content);
        content.write(&self.name)?;
        self.content = content;
        Ok(())
    }

    fn check_is_file(&self) -> Result<()> {
        if self.is_file {
            return Ok(());
        }
        let problem = "there is no file to store the login in; set HOME or DOCKER_CONFIG";
        Err(Error::new(ErrorKind::Unsupported).at(self.name.display()).detail(problem))
    }

    fn helper(&self, name: &str) -> Result<CredentialHelper> {
        CredentialHelper::new(name, &self.helpers).map_err(|e| e.at(self.name.display()))
    }

    async fn look_in(&self, place: &Place<'_>, registry: &RegistryName) -> Result<Credential> {
        let file = self.name.display();
        match place {
            Place::Entry { key, entry, insecure_use } => {
                let source = format!("{file}, entry {key}");
                let found = entry::credential(entry, &source)
                    .map_err(|clause| Error::new(ErrorKind::Invalid).at(&source).detail(clause))?;
                Ok(found.with_insecure_use(*insecure_use))
            }
            Place::Helper { name, everything, insecure_use } => {
                let helper = self.helper(name)?;
                // Anonymous requests must work even if the helper for all registries is not
                // installed.
                if *everything && !helper.is_installed() {
                    return Ok(Credential::anonymous(format_args!(
                        "{helper}, which {file} names for all registries, is not on the PATH"
                    )));
                }
                let found = helper.credential(registry).await.map_err(|e| {
                    e.with_hint(format!("{file} names this credential helper for {registry}."))
                })?;
                Ok(match found {
                    Some(found) => found.with_insecure_use(*insecure_use),
                    None => Credential::anonymous(format_args!(
                        "{helper}, which {file} names, has no entry for {registry}"
                    )),
                })
            }
        }
    }
}

#[async_trait]
impl CredentialStore for DockerConfig {
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential> {
        let mut nothing = None;
        for place in self.content.places(registry, repository) {
            let found = self.look_in(&place, registry).await?;
            if !found.is_anonymous() {
                return Ok(found);
            }
            nothing.get_or_insert(found);
        }
        Ok(nothing.unwrap_or_else(|| Credential::anonymous(self.content.absence(&self.name))))
    }

    async fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        let mut seen = Vec::new();
        for place in self.content.places(registry, repository) {
            seen.push(self.look_in(&place, registry).await);
            if !matches!(seen.last(), Some(Ok(last)) if last.is_anonymous()) {
                break;
            }
        }
        if seen.is_empty() {
            seen.push(Ok(Credential::anonymous(self.content.absence(&self.name))));
        }
        seen
    }
}

/// A `config.json` or `auth.json` that is read on each lookup.
#[derive(Clone, Debug)]
pub(super) struct DockerFile {
    path: PathBuf,
    helpers: Helpers,
}

impl DockerFile {
    pub(super) fn new(path: &Path, helpers: Helpers) -> Self {
        Self { path: path.to_owned(), helpers }
    }

    fn load(&self) -> Result<DockerConfig> {
        Ok(DockerConfig::load_from(&self.path)?.with_helpers(self.helpers.clone()))
    }
}

#[async_trait]
impl CredentialStore for DockerFile {
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential> {
        self.load()?.get(registry, repository).await
    }

    async fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        match self.load() {
            Ok(config) => config.look(registry, repository).await,
            Err(e) => vec![Err(e)],
        }
    }
}

const FILE_NAME: &str = "config.json";

#[cfg(test)]
mod tests;
