//! Credentials kept, found and forgotten, waited for.

use longshore_core::{RegistryName, RepositoryName, Result};

use super::forward::forward;
use super::runtime::wait;
use crate::credentials::{
    Credential, CredentialHelper, CredentialKey, CredentialStore as AsyncStore, DockerConfig,
    Login, StoredIn,
};

/// Where credentials come from, its answers waited for.
///
/// ```
/// use longshore::{CredentialKind, MemoryCredentials, Secret, blocking};
///
/// let registry = "ghcr.io".parse()?;
/// let kept = MemoryCredentials::new().with(registry, "user", Secret::new("password"));
/// let kept = blocking::CredentialStore::from(kept);
/// let found = kept.get(&"ghcr.io".parse()?, None)?;
/// assert!(!found.is_anonymous());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialStore<S> {
    inner: S,
}

impl<S> CredentialStore<S> {
    /// The store itself, such as for [`ClientBuilder::credentials`](crate::ClientBuilder::credentials).
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncStore> CredentialStore<S> {
    forward! { AsyncStore:
        /// Who to be at this registry, for this repository of it.
        pub fn get(
            &self,
            registry: &RegistryName,
            repository: Option<&RepositoryName>,
        ) -> Result<Credential>;
    }

    /// What [`get`](Self::get) finds, and everything that it passes over on the way, in order; see
    /// [`CredentialStore::look`](AsyncStore::look).
    pub fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        let looked = wait(async { Ok(self.inner.look(registry, repository).await) });
        looked.unwrap_or_else(|error| vec![Err(error)])
    }
}

impl CredentialStore<DockerConfig> {
    forward! { DockerConfig:
        /// Keeps a user and password for a registry, in place of what was there.
        pub fn set(&mut self, key: &CredentialKey, login: &Login) -> Result<StoredIn>;
        /// Forgets what is kept for a registry or a path below it; says whether there was anything.
        pub fn remove(&mut self, key: &CredentialKey) -> Result<bool>;
    }
}

impl CredentialStore<CredentialHelper> {
    forward! { CredentialHelper:
        /// What the helper keeps for a registry; `None` if that is nothing.
        pub fn credential(&self, registry: &RegistryName) -> Result<Option<Credential>>;
        /// Has the helper keep a user and password for a registry.
        pub fn store(&self, registry: &RegistryName, login: &Login) -> Result<()>;
        /// Has the helper forget a registry; says whether it knew it.
        pub fn erase(&self, registry: &RegistryName) -> Result<bool>;
        /// What the helper keeps: servers, each with its user, ordered by server.
        pub fn list(&self) -> Result<Vec<(String, String)>>;
    }
}

impl<S: AsyncStore> From<S> for CredentialStore<S> {
    fn from(inner: S) -> Self {
        Self { inner }
    }
}
