//! The keys of stored credentials: a registry, or a path below a registry.

use std::fmt;
use std::str::FromStr;

use longshore_core::{ParseError, RegistryName, RepositoryName};

use super::InsecureUse;

/// The key of a stored credential: `host[:port]`, optionally with a path.
///
/// Accepts the forms that Docker and podman write: with or without a scheme, and with the path of
/// an API, as in `https://index.docker.io/v1/`. The path of an API is ignored. Any other path
/// restricts the key to the repositories at and below that path. If several keys match a
/// repository, the key with the longest path wins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialKey {
    registry: RegistryName,
    path: Option<RepositoryName>,
    insecure_use: InsecureUse,
}

impl CredentialKey {
    /// Parses a key.
    ///
    /// # Errors
    /// [`ParseError`] if the registry or the path is malformed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let insecure_use = match text.split_once("://") {
            Some(("http", _)) => InsecureUse::Anywhere,
            Some(_) => InsecureUse::Nowhere,
            None => InsecureUse::ThisMachine,
        };
        let address = text.trim_start_matches("https://").trim_start_matches("http://");
        let (registry, path) = address.split_once('/').unwrap_or((address, ""));
        let registry = RegistryName::parse(registry)?;
        let path = match path.trim_end_matches('/') {
            "" | "v1" | "v2" => None,
            path => Some(RepositoryName::parse(path)?),
        };
        Ok(Self { registry, path, insecure_use })
    }

    /// Returns the registry.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// Returns the path that the key is restricted to, if any.
    #[must_use]
    pub fn path(&self) -> Option<&RepositoryName> {
        self.path.as_ref()
    }

    /// Permits sending the credential unencrypted, or to a server with an untrusted certificate.
    /// [`canonical`](Self::canonical) then begins with `http://`, except for Docker Hub as a whole.
    #[must_use]
    pub fn over_plain_http(mut self) -> Self {
        self.insecure_use = InsecureUse::Anywhere;
        self
    }

    /// Returns true if the key permits plain HTTP.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.insecure_use == InsecureUse::Anywhere
    }

    /// Returns the insecure use that the key permits for its credential. A key with `https://`
    /// permits no insecure use.
    pub(crate) fn insecure_use(&self) -> InsecureUse {
        self.insecure_use
    }

    /// Returns the number of path components with which the key matches a repository, or `None` if
    /// the key does not match. More components are a closer match.
    ///
    /// A key with a path does not match the registry itself (`repository` is `None`).
    #[must_use]
    pub fn fits(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Option<usize> {
        if self.registry != *registry {
            return None;
        }
        let Some(path) = &self.path else { return Some(0) };
        let mut components = repository?.components();
        path.components()
            .all(|component| components.next() == Some(component))
            .then(|| path.components().count())
    }

    /// Returns true if both keys are for the same repositories.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.registry == other.registry && self.path == other.path
    }

    /// Returns the key as [`DockerConfig`](crate::DockerConfig) writes it, such as `ghcr.io` or
    /// `http://localhost:5000`. Docker Hub as a whole has the key that Docker writes.
    #[must_use]
    pub fn canonical(&self) -> String {
        let scheme = if self.is_plain_http() { "http://" } else { "" };
        match &self.path {
            Some(path) => format!("{scheme}{}/{path}", self.registry),
            None if self.registry.is_docker_hub() => DOCKER_HUB.to_owned(),
            None => format!("{scheme}{}", self.registry),
        }
    }
}

impl From<RegistryName> for CredentialKey {
    fn from(registry: RegistryName) -> Self {
        Self { registry, path: None, insecure_use: InsecureUse::ThisMachine }
    }
}

impl FromStr for CredentialKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}/{path}", self.registry),
            None => write!(f, "{}", self.registry),
        }
    }
}

/// Docker's key for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_spellings_of_keys_are_parsed() {
        for (text, expected) in [
            ("com", "com"),
            ("com/", "com"),
            ("https://com", "com"),
            ("https://com/", "com"),
            ("com:1234", "com:1234"),
            ("com:1234/", "com:1234"),
            ("https://com:1234", "com:1234"),
            ("https://com:1234/", "com:1234"),
            ("google.com:1234/", "google.com:1234"),
            ("https://www.google.com:1234/", "www.google.com:1234"),
            // The test vector has `endpoint2:port2`, but ports must be numbers.
            ("https://endpoint2:2222/v1/", "endpoint2:2222"),
            ("http://h:1/", "h:1"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("docker.io", "docker.io"),
            ("registry.hub.docker.com", "docker.io"),
            ("https://ghcr.io/v2/", "ghcr.io"),
            ("GHCR.io/org/team", "ghcr.io/org/team"),
        ] {
            assert_eq!(CredentialKey::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "http://user@h:1/x", "host:port", "a b", "h/UPPER", "*.example.com"] {
            assert!(CredentialKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_decides_where_its_credential_may_be_sent_unencrypted() {
        for (text, expected) in [
            ("localhost:5000", InsecureUse::ThisMachine),
            ("localhost:5000/team", InsecureUse::ThisMachine),
            ("http://localhost:5000", InsecureUse::Anywhere),
            ("https://localhost:5000", InsecureUse::Nowhere),
            ("https://localhost:5000/v2/", InsecureUse::Nowhere),
        ] {
            let key = CredentialKey::parse(text).unwrap();
            assert_eq!(key.insecure_use(), expected, "{text}");
            assert_eq!(key.is_plain_http(), expected == InsecureUse::Anywhere, "{text}");
        }
    }

    #[test]
    fn a_key_matches_the_repositories_below_it() {
        for (key, registry, repository, expected) in [
            ("r.example", "r.example", Some("a/b"), Some(0)),
            ("r.example", "r.example", None, Some(0)),
            ("r.example/a", "r.example", Some("a/b"), Some(1)),
            ("r.example/a/b", "r.example", Some("a/b"), Some(2)),
            ("r.example/a", "r.example", Some("ab"), None),
            ("r.example/a/b", "r.example", Some("a"), None),
            ("r.example/a", "r.example", None, None),
            ("r.example", "r.example:5000", Some("a"), None),
            ("index.docker.io/library", "docker.io", Some("library/nginx"), Some(1)),
        ] {
            let repository = repository.map(|name| RepositoryName::parse(name).unwrap());
            let found = CredentialKey::parse(key).unwrap();
            let found = found.fits(&registry.parse().unwrap(), repository.as_ref());
            assert_eq!(found, expected, "{key} {registry} {repository:?}");
        }
    }

    #[test]
    fn canonical_keys_omit_https_and_use_dockers_key_for_docker_hub() {
        for (text, expected) in [
            ("docker.io", "https://index.docker.io/v1/"),
            ("docker.io/me", "docker.io/me"),
            ("https://ghcr.io/", "ghcr.io"),
            ("http://localhost:5000/", "http://localhost:5000"),
        ] {
            assert_eq!(CredentialKey::parse(text).unwrap().canonical(), expected);
        }
    }
}
