//! Docker's short names: `nginx` is `docker.io/library/nginx`.

use super::{
    Reference, RegistryName, Repository, RepositoryName, check_text, split_suffix, within,
};
use crate::error::{ParseError, Result};

impl Reference {
    /// Reads a reference as Docker's users write it.
    ///
    /// The first part is the registry if it is `localhost` or has a `.`, a `:` or an upper-case
    /// letter; otherwise the registry is Docker Hub, where a name without a slash gets `library/`.
    /// No tag is implied.
    ///
    /// ```
    /// use longshore_core::Reference;
    /// let reference = Reference::familiar("nginx:1.27")?;
    /// assert_eq!(reference.to_string(), "docker.io/library/nginx:1.27");
    /// # Ok::<(), longshore_core::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// [`ParseError`] that quotes the text and says what is wrong with it.
    pub fn familiar(text: &str) -> Result<Self, ParseError> {
        check_text(text)?;
        let (rest, suffix) = split_suffix(text);
        let within = |e: ParseError| within(text, &e);
        let (registry, name) = match rest.split_once('/') {
            Some((first, name)) if names_registry(first) => {
                (RegistryName::parse(first).map_err(within)?, name)
            }
            _ => (RegistryName::docker_hub(), rest),
        };
        let name = RepositoryName::parse(name).map_err(within)?;
        let official = registry.is_docker_hub() && name.namespace().is_none();
        let name = if official {
            RepositoryName::parse(&format!("library/{name}")).map_err(within)?
        } else {
            name
        };
        suffix.onto(Self::new(Repository::new(registry, name)), text)
    }
}

impl Repository {
    /// Reads a repository as Docker's users write it; see [`Reference::familiar`].
    ///
    /// # Errors
    /// [`ParseError`] as [`Reference::familiar`], and if the text has a tag or a digest.
    pub fn familiar(text: &str) -> Result<Self, ParseError> {
        Reference::familiar(text)?.only_repository(text)
    }
}

/// Source: distribution/reference, "splitDockerDomain".
fn names_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.contains(|c: char| c.is_ascii_uppercase())
}
