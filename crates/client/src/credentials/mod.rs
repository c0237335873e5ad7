//! Who to be at a registry.
//!
//! Owns [`Credential`], [`Secret`], the stores they come from and the order in which these are asked
//! ([`Credentials`]). Sends nothing: `auth` asks a store when a registry wants to know.

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
pub(crate) use credential::Leave;
pub use credential::{Credential, CredentialKind, Login};
pub use docker_config::{DockerConfig, Kept};
pub use helper::{CredentialHelper, Helpers};
pub use key::CredentialKey;
pub use memory::MemoryCredentials;
pub use netrc::Netrc;
#[cfg(fuzzing)]
pub(crate) use netrc::entries as netrc_entries;
pub use pattern::RegistryPattern;
pub use secret::Secret;
pub(crate) use user_info::user_info;

/// Where credentials come from.
///
/// Implement it to get them from anywhere else: a vault, a cloud's metadata service, a prompt.
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync {
    /// Who to be at this registry, for this repository of it; for none, where the request is about the
    /// registry itself.
    ///
    /// Asked once a repository and client, and again after what it gave was refused or has expired
    /// ([`Credential::expires_in`]). A client remembers the 1024 repositories of a registry that it
    /// used last, and 1024 registries.
    ///
    /// # Errors
    /// Whatever keeps the store from telling. That it knows nothing is
    /// [`Credential::anonymous`], no error.
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential>;

    /// What [`get`](Self::get) finds, and everything that it passes over on the way, in order.
    ///
    /// The last is what [`get`](Self::get) gives. A store that asks others says what each of them
    /// answered; the default is one answer.
    async fn look(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Result<Credential>> {
        vec![self.get(registry, repository).await]
    }
}
