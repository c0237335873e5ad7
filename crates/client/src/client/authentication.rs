//! The client's methods for authentication: its settings, tokens, and a report of its steps.

use std::num::NonZeroUsize;

use longshore_core::{RegistryName, Repository, Result};

use super::{Client, ClientBuilder};
use crate::auth::{AuthReport, Authentication, PresetToken, Question, Scope, Scopes, Token};
use crate::credentials::Secret;

impl Client {
    /// Gets a token for a repository from its registry's token service.
    ///
    /// Sends `GET /v2/`, and requests a token from the service that the challenge names. Does not
    /// use the token cache.
    ///
    /// - `scopes`: the scopes to request. They also select the credentials. Default: pull.
    ///
    /// # Errors
    /// [`Unsupported`](longshore_core::ErrorKind::Unsupported) if the registry has no token
    /// service; [`Unauthorized`](longshore_core::ErrorKind::Unauthorized) if the service refuses
    /// the request.
    ///
    /// Source: Docker Registry v2, "Token Authentication Specification".
    pub async fn fetch_token(&self, repository: &Repository, scopes: &[Scope]) -> Result<Token> {
        let host = self.exchange(repository.registry()).host().await?;
        let question =
            Question { access: host.access(requested_scopes(repository, scopes)), page: None };
        host.auth.fetch_token(&question).await.map_err(|e| e.at(repository))
    }

    /// Explains, step by step, how this client authenticates for a repository.
    ///
    /// Queries the sources of credentials, the registry, and its token service if it has one. Then
    /// requests a page of the repository's tags. Failures are part of the report.
    ///
    /// - `scopes`: the scopes to request. They also select the credentials. Default: pull.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid) if the registry's name is not a valid host
    /// name; any error of [`Scheme::Detect`](crate::Scheme::Detect).
    pub async fn explain_auth(
        &self,
        repository: &Repository,
        scopes: &[Scope],
    ) -> Result<AuthReport> {
        let host = self.exchange(repository.registry()).host().await?;
        let page = host.endpoint.tags(repository.name(), Some(NonZeroUsize::MIN), None);
        let access = host.access(requested_scopes(repository, scopes));
        Ok(host.auth.explain(&Question { access, page: Some(page) }).await)
    }
}

/// Returns the scopes to request. Default: pull.
fn requested_scopes(repository: &Repository, scopes: &[Scope]) -> Scopes {
    match scopes {
        [] => Scopes::new([Scope::repository(repository.name(), &["pull"])]),
        scopes => Scopes::new(scopes.iter().cloned()),
    }
}

impl ClientBuilder {
    /// Sets the authentication settings for all registries that have no authentication settings of
    /// their own.
    #[must_use]
    pub fn default_authentication(mut self, settings: Authentication) -> Self {
        self.policies.default = settings;
        self
    }

    /// Sets the authentication settings for one registry.
    #[must_use]
    pub fn authentication(mut self, registry: RegistryName, settings: Authentication) -> Self {
        self.policies.registries.insert(registry, settings);
        self
    }

    /// Sets an existing token for a registry. The token is sent from the first request on.
    ///
    /// The token is used for requests that `scope` covers, or for all requests if `scope` is
    /// `None`, until the registry refuses it.
    #[must_use]
    pub fn token(mut self, registry: RegistryName, scope: Option<Scope>, token: Secret) -> Self {
        self.presets.push(PresetToken { registry, scope, token });
        self
    }
}
