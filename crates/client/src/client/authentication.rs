//! What a client offers around authentication: settings, tokens, and an account of how it goes.

use std::num::NonZeroUsize;

use longshore_core::{RegistryName, Repository, Result};

use super::{Client, ClientBuilder};
use crate::auth::{AuthReport, Authentication, PresetToken, Question, Scope, Scopes, Token};
use crate::credentials::Secret;

impl Client {
    /// Gets a token for a repository from its registry's token service.
    ///
    /// Sends `GET /v2/`, and asks the service that its challenge names. Nothing that is kept is used,
    /// and nothing is kept.
    ///
    /// - `scopes`: what to ask for, and whose credentials to take; to pull, if there are none.
    ///
    /// # Errors
    /// [`Unsupported`](longshore_core::ErrorKind::Unsupported) if the registry has no tokens;
    /// [`Unauthorized`](longshore_core::ErrorKind::Unauthorized) if the service refuses.
    ///
    /// Source: Docker Registry v2, "Token Authentication Specification".
    pub async fn token(&self, repository: &Repository, scopes: &[Scope]) -> Result<Token> {
        let host = self.exchange(repository.registry()).host().await?;
        let question = Question { access: host.access(asked(repository, scopes)), page: None };
        host.auth.fetch_token(&question).await.map_err(|e| e.at(repository))
    }

    /// Finds out, step by step, how this client authenticates for a repository.
    ///
    /// Asks every source of credentials, the registry, its token service, and then for a page of the
    /// repository's tags. What fails is part of the answer.
    ///
    /// - `scopes`: what to ask for, and whose credentials to take; to pull, if there are none.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid) if the registry's name is no host's, and whatever
    /// keeps [`Scheme::Detect`](crate::Scheme::Detect) from finding out how it is reached.
    pub async fn explain_auth(
        &self,
        repository: &Repository,
        scopes: &[Scope],
    ) -> Result<AuthReport> {
        let host = self.exchange(repository.registry()).host().await?;
        let page = host.endpoint.tags(repository.name(), Some(NonZeroUsize::MIN), None);
        let access = host.access(asked(repository, scopes));
        Ok(host.auth.inquire(&Question { access, page: Some(page) }).await)
    }
}

/// The scopes to ask for: to pull, if there are none.
fn asked(repository: &Repository, scopes: &[Scope]) -> Scopes {
    match scopes {
        [] => Scopes::new([Scope::repository(repository.name(), &["pull"])]),
        scopes => Scopes::new(scopes.iter().cloned()),
    }
}

impl ClientBuilder {
    /// How to authenticate at every registry that has no settings of its own.
    #[must_use]
    pub fn default_authentication(mut self, settings: Authentication) -> Self {
        self.policies.default = settings;
        self
    }

    /// How to authenticate at one registry.
    #[must_use]
    pub fn authentication(mut self, registry: RegistryName, settings: Authentication) -> Self {
        self.policies.registries.insert(registry, settings);
        self
    }

    /// A token for a registry that was got elsewhere, sent from the first request on.
    ///
    /// It is used until the registry refuses it, for requests that `scope` covers, or for all of them.
    #[must_use]
    pub fn token(mut self, registry: RegistryName, scope: Option<Scope>, token: Secret) -> Self {
        self.presets.push(PresetToken { registry, scope, token });
        self
    }
}
