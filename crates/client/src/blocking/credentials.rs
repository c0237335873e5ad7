//! Blocking credential stores.

use longshore_core::{RegistryName, RepositoryName, Result};

use super::forward::forward;
use super::runtime::wait;
use crate::credentials::{
    Credential, CredentialHelper, CredentialKey, CredentialStore as AsyncStore, DockerConfig,
    Login, StoredIn,
};

/// A source of credentials with blocking calls.
///
/// ```
/// use longshore::{CredentialKind, MemoryCredentials, Secret, blocking};
///
/// let registry = "ghcr.io".parse()?;
/// let store = MemoryCredentials::new().with(registry, "user", Secret::new("password"));
/// let store = blocking::CredentialStore::from(store);
/// let found = store.get(&"ghcr.io".parse()?, None)?;
/// assert!(!found.is_anonymous());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialStore<S> {
    inner: S,
}

impl<S> CredentialStore<S> {
    /// Returns the async store, for example for
    /// [`ClientBuilder::credentials`](crate::ClientBuilder::credentials).
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncStore> CredentialStore<S> {
    forward! { AsyncStore:
        /// Returns the credential for a repository of a registry.
        pub fn get(
            &self,
            registry: &RegistryName,
            repository: Option<&RepositoryName>,
        ) -> Result<Credential>;
    }

    /// Returns the results of all sources that [`get`](Self::get) queries, in order; see
    /// [`CredentialStore::look`](AsyncStore::look).
    pub fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        let results = wait(async { Ok(self.inner.look(registry, repository).await) });
        results.unwrap_or_else(|error| vec![Err(error)])
    }
}

impl CredentialStore<DockerConfig> {
    forward! { DockerConfig:
        /// Stores a user and password for a registry, and replaces an existing entry.
        pub fn set(&mut self, key: &CredentialKey, login: &Login) -> Result<StoredIn>;
        /// Removes the entry for a registry or a path below it; returns true if the entry existed.
        pub fn remove(&mut self, key: &CredentialKey) -> Result<bool>;
    }
}

impl CredentialStore<CredentialHelper> {
    forward! { CredentialHelper:
        /// Returns the helper's credential for a registry, or `None` if the helper has none.
        pub fn credential(&self, registry: &RegistryName) -> Result<Option<Credential>>;
        /// Stores a user and password for a registry with the helper.
        pub fn store(&self, registry: &RegistryName, login: &Login) -> Result<()>;
        /// Removes a registry's entry from the helper; returns true if the entry existed.
        pub fn erase(&self, registry: &RegistryName) -> Result<bool>;
        /// Lists the helper's entries: servers, each with its user, ordered by server.
        pub fn list(&self) -> Result<Vec<(String, String)>>;
    }
}

impl<S: AsyncStore> From<S> for CredentialStore<S> {
    fn from(inner: S) -> Self {
        Self { inner }
    }
}
