//! Credentials for registries.
//!
//! Owns [`Credential`], [`Secret`], the stores of credentials, and the order in which the stores
//! are queried ([`Credentials`]). Sends nothing: `auth` queries a store and sends its credentials.

mod chain;
mod credential;
mod docker_config;
mod helper;
mod key;
mod memory;
mod netrc;
mod pattern;
mod permission;
mod secret;
pub(crate) mod user_info;

use std::fmt;

use async_trait::async_trait;
use longshore_core::{RegistryName, RepositoryName, Result};

pub use chain::Credentials;
pub(crate) use credential::InsecureUse;
pub use credential::{Credential, CredentialKind, Login};
pub use docker_config::{DockerConfig, StoredIn};
pub use helper::{CredentialHelper, Helpers};
pub use key::CredentialKey;
pub use memory::MemoryCredentials;
pub use netrc::Netrc;
#[cfg(fuzzing)]
pub(crate) use netrc::entries as netrc_entries;
pub use pattern::RegistryPattern;
pub use secret::Secret;
pub(crate) use user_info::user_info;

/// A source of credentials.
///
/// Implement this trait to get credentials from elsewhere, such as a vault, a cloud's metadata
/// service or a prompt.
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync {
    /// Returns the credential for a repository of this registry, or for the registry itself if
    /// `repository` is `None`.
    ///
    /// A client calls this method once per repository, and again after the credential was refused
    /// or has expired ([`Credential::expires_in`]). The client caches credentials for the 1024 most
    /// recently used registries, and for 1024 repositories of each registry.
    ///
    /// # Errors
    /// The store's error. A store without a credential returns [`Credential::anonymous`] instead.
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential>;

    /// Returns the results of all sources that [`get`](Self::get) queries, in order.
    ///
    /// Only the last result can be a credential or an error. All others are anonymous. By default,
    /// the only result is the result of [`get`](Self::get).
    async fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        vec![self.get(registry, repository).await]
    }
}
