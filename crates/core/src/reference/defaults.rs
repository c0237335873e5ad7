//! The defaults for the parts that short names omit.

use super::{
    ManifestReference, Reference, RegistryName, Repository, RepositoryName, Tag, check_text,
    split_suffix, within,
};
use crate::error::{ParseError, Result};

/// The defaults for the parts that a short name omits: registry, namespace and tag. The defaults
/// apply only where a value of this type is used.
///
/// ```
/// use longshore_core::Defaults;
///
/// let mut defaults = Defaults::docker();
/// assert_eq!(defaults.parse("nginx")?.to_string(), "docker.io/library/nginx");
///
/// defaults.registry = "registry.example".parse()?;
/// defaults.namespace = None;
/// let nginx = defaults.parse("nginx")?;
/// assert_eq!(nginx.to_string(), "registry.example/nginx");
/// assert_eq!(defaults.tagged(nginx).to_string(), "registry.example/nginx:latest");
/// # Ok::<(), longshore_core::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defaults {
    /// The registry of a name that does not begin with a registry.
    pub registry: RegistryName,
    /// The namespace for names without a slash at [`registry`](Self::registry), but not at other
    /// registries. `None` leaves such names unchanged.
    pub namespace: Option<RepositoryName>,
    /// The tag that [`tagged`](Self::tagged) adds.
    pub tag: Tag,
}

impl Defaults {
    /// Returns the defaults of Docker: `docker.io`, `library` and `latest`.
    #[must_use]
    pub fn docker() -> Self {
        Self {
            registry: RegistryName::docker_hub(),
            namespace: Some(RepositoryName::official()),
            tag: Tag::latest(),
        }
    }

    /// Returns the defaults of Docker, overridden by the environment variables
    /// `LONGSHORE_DEFAULT_REGISTRY`, `LONGSHORE_DEFAULT_NAMESPACE` and `LONGSHORE_DEFAULT_TAG`.
    ///
    /// An empty `LONGSHORE_DEFAULT_NAMESPACE` means no namespace. The other two variables are
    /// ignored if they are empty. A registry other than Docker Hub has no namespace unless the
    /// variable sets one. The CLI reads these variables. The library reads them only in this
    /// function.
    ///
    /// # Errors
    /// [`ParseError`], with the name of the variable, if a value is invalid.
    pub fn from_environment() -> Result<Self, ParseError> {
        Self::from_variables(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    fn from_variables(value: impl Fn(&str) -> Option<String>) -> Result<Self, ParseError> {
        let mut defaults = Self::docker();
        let named = |name: &'static str| value(name).filter(|text| !text.is_empty());
        if let Some(text) = named(REGISTRY) {
            defaults.registry = RegistryName::parse(&text).map_err(|e| of(REGISTRY, &text, &e))?;
        }
        defaults.namespace = match value(NAMESPACE) {
            Some(text) if text.is_empty() => None,
            Some(text) => Some(RepositoryName::parse(&text).map_err(|e| of(NAMESPACE, &text, &e))?),
            None => defaults.registry.is_docker_hub().then(RepositoryName::official),
        };
        if let Some(text) = named(TAG) {
            defaults.tag = Tag::parse(&text).map_err(|e| of(TAG, &text, &e))?;
        }
        Ok(defaults)
    }

    /// Parses a reference, and adds the registry and the namespace if the text omits them. Adds no
    /// tag.
    ///
    /// The first part is the registry if it is `localhost` or contains a `.`, a `:` or an
    /// upper-case letter. If Docker Hub is not the default registry, its names without a slash
    /// still get the namespace `library`.
    ///
    /// # Errors
    /// [`ParseError`] with the text and the reason.
    pub fn parse(&self, text: &str) -> Result<Reference, ParseError> {
        check_text(text)?;
        let (rest, suffix) = split_suffix(text);
        let within = |e: ParseError| within(text, &e);
        let (registry, name) = match rest.split_once('/') {
            Some((first, name)) if names_registry(first) => {
                (RegistryName::parse(first).map_err(within)?, name)
            }
            _ => (self.registry.clone(), rest),
        };
        let name = RepositoryName::parse(name).map_err(within)?;
        let name = match self.namespace_at(&registry) {
            Some(namespace) if name.namespace().is_none() => {
                RepositoryName::parse(&format!("{namespace}/{name}")).map_err(within)?
            }
            _ => name,
        };
        suffix.onto(Reference::new(Repository::new(registry, name)), text)
    }

    /// Parses a repository, in the same way as [`parse`](Self::parse).
    ///
    /// # Errors
    /// Same as [`parse`](Self::parse), and [`ParseError`] if the text has a tag or a digest.
    pub fn repository(&self, text: &str) -> Result<Repository, ParseError> {
        self.parse(text)?.only_repository(text)
    }

    /// Converts a reference to a [`ManifestReference`]. Adds the default tag if the reference has
    /// no tag and no digest.
    #[must_use]
    pub fn tagged(&self, reference: Reference) -> ManifestReference {
        ManifestReference::or_tag(reference, self.tag.clone())
    }

    /// Returns a short text that [`parse`](Self::parse) converts to this reference. The text omits
    /// the registry and the namespace, or else only the registry, or else nothing.
    ///
    /// ```
    /// use longshore_core::{Defaults, Reference};
    /// let reference: Reference = "docker.io/library/nginx:1.27".parse()?;
    /// assert_eq!(Defaults::docker().short(&reference), "nginx:1.27");
    /// # Ok::<(), longshore_core::ParseError>(())
    /// ```
    #[must_use]
    pub fn short(&self, reference: &Reference) -> String {
        let whole = reference.to_string();
        let registry = reference.registry().as_str().len() + 1;
        let namespace = reference.name().namespace().map_or(0, |n| n.len() + 1);
        [registry + namespace, registry]
            .map(|left_out| &whole[left_out..])
            .into_iter()
            .find(|text| self.parse(text).as_ref() == Ok(reference))
            .map_or(whole.clone(), str::to_owned)
    }

    /// Returns the namespace for names without a slash at a registry.
    fn namespace_at(&self, registry: &RegistryName) -> Option<RepositoryName> {
        if *registry == self.registry {
            return self.namespace.clone();
        }
        registry.is_docker_hub().then(RepositoryName::official)
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self::docker()
    }
}

impl Reference {
    /// Parses a reference in the short form of Docker, with [`Defaults::docker`]. Adds no tag.
    ///
    /// ```
    /// use longshore_core::Reference;
    /// let reference = Reference::familiar("nginx:1.27")?;
    /// assert_eq!(reference.to_string(), "docker.io/library/nginx:1.27");
    /// # Ok::<(), longshore_core::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// [`ParseError`] with the text and the reason.
    pub fn familiar(text: &str) -> Result<Self, ParseError> {
        Defaults::docker().parse(text)
    }
}

impl Repository {
    /// Parses a repository in the short form of Docker, same as [`Reference::familiar`].
    ///
    /// # Errors
    /// Same as [`Reference::familiar`], and [`ParseError`] if the text has a tag or a digest.
    pub fn familiar(text: &str) -> Result<Self, ParseError> {
        Defaults::docker().repository(text)
    }
}

/// Returns true if the first part of a name is a registry (distribution, `splitDockerDomain`).
fn names_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

/// Builds the error for an invalid value of a variable.
fn of(variable: &'static str, text: &str, error: &ParseError) -> ParseError {
    ParseError::new(variable, text, error.to_string())
}

const REGISTRY: &str = "LONGSHORE_DEFAULT_REGISTRY";
const NAMESPACE: &str = "LONGSHORE_DEFAULT_NAMESPACE";
const TAG: &str = "LONGSHORE_DEFAULT_TAG";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Defaults, ParseError> {
        Defaults::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn environment_variables_override_only_their_own_default() {
        for (variables, nginx) in [
            (&[][..], "docker.io/library/nginx:latest"),
            (&[(REGISTRY, "")], "docker.io/library/nginx:latest"),
            (&[(NAMESPACE, "")], "docker.io/nginx:latest"),
            (&[(NAMESPACE, "team/web")], "docker.io/team/web/nginx:latest"),
            (&[(REGISTRY, "r.example:5000")], "r.example:5000/nginx:latest"),
            (&[(REGISTRY, "r.example"), (NAMESPACE, "team")], "r.example/team/nginx:latest"),
            (&[(REGISTRY, "index.docker.io")], "docker.io/library/nginx:latest"),
            (&[(TAG, "stable")], "docker.io/library/nginx:stable"),
            (&[(TAG, "")], "docker.io/library/nginx:latest"),
        ] {
            let defaults = read(variables).unwrap();
            let reference = defaults.tagged(defaults.parse("nginx").unwrap());
            assert_eq!(reference.to_string(), nginx, "{variables:?}");
        }
    }

    #[test]
    fn an_invalid_variable_is_named_in_the_error() {
        for (variable, value) in [(REGISTRY, "ho_st"), (NAMESPACE, "A"), (TAG, "-x")] {
            let e = read(&[(variable, value)]).unwrap_err();
            assert_eq!(e.noun(), variable);
            assert!(e.to_string().contains(value), "{e}");
        }
    }

    #[test]
    fn the_namespace_applies_to_names_without_a_slash_at_the_default_registry() {
        let mut defaults = Defaults::docker();
        defaults.registry = RegistryName::parse("r.example").unwrap();
        for (text, whole) in [
            ("a", "r.example/library/a"),
            ("r.example/a", "r.example/library/a"),
            ("x/a", "r.example/x/a"),
            ("quay.io/a", "quay.io/a"),
            ("localhost:5000/a", "localhost:5000/a"),
            ("docker.io/a", "docker.io/library/a"),
        ] {
            assert_eq!(defaults.parse(text).unwrap().to_string(), whole);
        }
    }

    #[test]
    fn the_short_form_parses_to_the_same_reference() {
        let sha = format!("sha256:{}", "0".repeat(64));
        let (mut other, mut bare) = (Defaults::docker(), Defaults::docker());
        other.registry = RegistryName::parse("r.example").unwrap();
        bare.namespace = None;
        for (defaults, whole, short) in [
            (Defaults::docker(), "docker.io/library/nginx:1.27", "nginx:1.27"),
            (Defaults::docker(), "docker.io/a/b", "a/b"),
            (Defaults::docker(), "docker.io/nginx", "docker.io/nginx"),
            (Defaults::docker(), "docker.io/localhost/a", "docker.io/localhost/a"),
            (Defaults::docker(), "quay.io/library/a", "quay.io/library/a"),
            (Defaults::docker(), &format!("docker.io/library/a:b@{sha}"), &format!("a:b@{sha}")),
            (bare.clone(), "docker.io/nginx", "nginx"),
            (bare, "docker.io/library/nginx", "library/nginx"),
            (other.clone(), "r.example/library/a", "a"),
            (other, "docker.io/library/a", "docker.io/library/a"),
        ] {
            assert_eq!(defaults.short(&whole.parse().unwrap()), short);
        }
    }
}
