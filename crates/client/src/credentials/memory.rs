use std::collections::HashMap;

use async_trait::async_trait;
use longshore_core::{RegistryName, Result};

use super::{Credential, CredentialStore, Secret};

/// Credentials that the caller gives; nobody for every other registry.
#[derive(Clone, Debug, Default)]
pub struct MemoryCredentials {
    known: HashMap<RegistryName, Credential>,
}

impl MemoryCredentials {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this user for one registry.
    #[must_use]
    pub fn with(
        mut self,
        registry: RegistryName,
        user: impl Into<String>,
        password: Secret,
    ) -> Self {
        self.known.insert(registry, Credential::login(user, password, "the caller"));
        self
    }
}

#[async_trait]
impl CredentialStore for MemoryCredentials {
    async fn get(&self, registry: &RegistryName) -> Result<Credential> {
        let known = self.known.get(registry).cloned();
        Ok(known.unwrap_or_else(|| Credential::anonymous("no credentials were given")))
    }
}
