use async_trait::async_trait;
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result};
use url::Url;

use super::{Credential, CredentialKey, CredentialStore, Secret, user_info};
use crate::credentials::RegistryPattern;

/// Credentials that the caller sets. For other registries, the store has no credential.
///
/// An entry for a registry takes precedence over a pattern, and a longer path over a shorter path.
/// A later entry replaces an earlier entry with the same key. The first matching pattern is used.
#[derive(Clone, Debug, Default)]
pub struct MemoryCredentials {
    named: Vec<(CredentialKey, Credential)>,
    patterns: Vec<(RegistryPattern, Credential)>,
}

impl MemoryCredentials {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user and password for one registry.
    #[must_use]
    pub fn with(self, registry: RegistryName, user: impl Into<String>, password: Secret) -> Self {
        self.with_credential(registry, Credential::login(user, password, SOURCE))
    }

    /// Adds any kind of credential for a registry, or for a path below a registry.
    #[must_use]
    pub fn with_credential(
        mut self,
        key: impl Into<CredentialKey>,
        credential: Credential,
    ) -> Self {
        let key = key.into();
        self.named.retain(|(known, _)| !known.is_same(&key));
        let credential = credential.with_insecure_use(key.insecure_use());
        self.named.push((key, credential));
        self
    }

    /// Adds a credential for all registries that match a pattern.
    #[must_use]
    pub fn with_pattern(mut self, pattern: RegistryPattern, credential: Credential) -> Self {
        self.patterns.push((pattern, credential));
        self
    }

    /// Adds the user information of a URL: `https://user:password@registry[/path]`.
    ///
    /// An `http` URL permits sending the credential unencrypted. An `https` URL permits unencrypted
    /// use only within this machine, same as a key without a scheme. Percent-encoded characters in
    /// the user and password are decoded.
    ///
    /// - `source`: the origin of the URL, for errors.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the URL has another form. The error does not quote the
    /// URL.
    pub fn with_url(self, url: &str, source: &str) -> Result<Self> {
        let bad = |clause: &'static str| {
            Error::new(ErrorKind::Invalid).at("the URL with credentials").detail(clause)
        };
        let url = Url::parse(url).map_err(|_| bad("not a URL"))?;
        let host = url.host_str().ok_or_else(|| bad("the host is missing"))?;
        let form = || bad("expected https://user:password@registry");
        let login = user_info(&url).ok_or_else(form)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(form());
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if url.scheme() == "http" { "http://" } else { "" };
        let text = format!("{scheme}{host}{port}{}", url.path());
        let key =
            CredentialKey::parse(&text).map_err(|_| bad("the registry or path is invalid"))?;
        Ok(self.with_credential(key, Credential::login(login.user, login.password, source)))
    }
}

#[async_trait]
impl CredentialStore for MemoryCredentials {
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential> {
        let named = self
            .named
            .iter()
            .filter_map(|(key, credential)| Some((key.fits(registry, repository)?, credential)));
        let closest = named.max_by_key(|(fit, _)| *fit).map(|(_, credential)| credential);
        let pattern = || self.patterns.iter().find(|(pattern, _)| pattern.matches(registry));
        let found = closest.or_else(|| pattern().map(|(_, credential)| credential)).cloned();
        Ok(found.unwrap_or_else(|| Credential::anonymous("no credentials set for this registry")))
    }
}

/// The source of the credentials in errors.
const SOURCE: &str = "the caller";

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Credential {
        Credential::login(name, Secret::new("p"), "x")
    }

    async fn found(store: &MemoryCredentials, registry: &str, repository: &str) -> String {
        let repository = RepositoryName::parse(repository).ok();
        let found = store.get(&registry.parse().unwrap(), repository.as_ref()).await.unwrap();
        found.user().unwrap_or("anonymous").to_owned()
    }

    #[tokio::test]
    async fn names_take_precedence_over_patterns_and_the_first_pattern_is_used() {
        let key = |text: &str| CredentialKey::parse(text).unwrap();
        let store = MemoryCredentials::new()
            .with_pattern(RegistryPattern::regex(r"^.*\.io$").unwrap(), user("first"))
            .with_pattern(RegistryPattern::glob("q*").unwrap(), user("second"))
            .with_credential(key("ghcr.io"), user("old"))
            .with_credential(key("ghcr.io/org"), user("org"))
            .with_credential(key("https://ghcr.io/v2/"), user("new"));
        for (registry, repository, expected) in [
            ("quay.io", "a", "first"),
            ("quay.com", "a", "second"),
            ("other.com", "a", "anonymous"),
            ("ghcr.io", "a", "new"),
            ("ghcr.io", "", "new"),
            ("ghcr.io", "org/app", "org"),
            ("ghcr.io", "organ/app", "new"),
            ("docker.io", "a", "first"),
        ] {
            assert_eq!(found(&store, registry, repository).await, expected, "{registry}");
        }
    }

    #[tokio::test]
    async fn user_information_of_urls_is_decoded_and_never_quoted() {
        let store = MemoryCredentials::new()
            .with_url("https://me%40work:p%3Aw@r.example:5000/org", "a URL")
            .unwrap();
        let get = |registry: &str, repository: &str| {
            let repository = RepositoryName::parse(repository).unwrap();
            let (store, registry) = (store.clone(), registry.parse().unwrap());
            async move { store.get(&registry, Some(&repository)).await.unwrap() }
        };
        let login = get("r.example:5000", "org/a").await.as_login().cloned().unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("me@work", "p:w"));
        assert!(get("r.example:5000", "other").await.is_anonymous());
        for bad in ["s3cret", "https://r.example", "ftp://u:s3cret@r.example", "https://u:s3cret@"]
        {
            let e = MemoryCredentials::new().with_url(bad, "x").unwrap_err();
            assert!(!format!("{e} {e:?}").contains("s3cret"), "{e:?}");
        }
    }
}
