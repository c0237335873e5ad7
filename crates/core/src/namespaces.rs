//! The repositories of a registry, grouped by namespace.

use std::collections::BTreeSet;

use crate::reference::RepositoryName;

/// The repositories of a registry, grouped by namespace. The namespace of a name is the part before
/// its last slash.
///
/// A name without a slash has no namespace, unless [`bare_as`](Self::bare_as) sets a namespace.
///
/// ```
/// use longshore_core::{Namespaces, RepositoryName};
///
/// let names = ["debian", "bitnami/redis", "team/app", "team/tools/lint"];
/// let listed: Namespaces =
///     names.into_iter().map(RepositoryName::parse).collect::<Result<_, _>>()?;
/// assert_eq!(listed.names(), ["bitnami", "team", "team/tools"]);
/// assert_eq!(listed.repositories("team").len(), 2);
/// assert_eq!(listed.bare_as("library").names()[1], "library");
/// # Ok::<(), longshore_core::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    repositories: Vec<RepositoryName>,
    bare: Option<String>,
}

impl Namespaces {
    /// Puts names without a slash into this namespace. Docker clients use `library`.
    #[must_use]
    pub fn bare_as(mut self, namespace: impl Into<String>) -> Self {
        self.bare = Some(namespace.into());
        self
    }

    /// Returns the namespaces, each once, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.repositories.iter().filter_map(|name| self.namespace(name)).collect();
        names.into_iter().collect()
    }

    /// Returns the repositories in a namespace and in the namespaces below it, in the order in
    /// which they were given.
    #[must_use]
    pub fn repositories(&self, namespace: &str) -> Vec<&RepositoryName> {
        let within = |name: &&RepositoryName| {
            name.is_below(namespace) || self.namespace(name) == Some(namespace)
        };
        self.repositories.iter().filter(within).collect()
    }

    fn namespace<'a>(&'a self, name: &'a RepositoryName) -> Option<&'a str> {
        name.namespace().or(self.bare.as_deref())
    }
}

impl FromIterator<RepositoryName> for Namespaces {
    fn from_iter<I: IntoIterator<Item = RepositoryName>>(names: I) -> Self {
        Self { repositories: names.into_iter().collect(), bare: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the catalog from the tests of dreg-client.
    #[test]
    fn repositories_are_grouped_by_namespace() {
        let listed: Namespaces = [
            "debian",
            "testns1/testrepo1",
            "testns2/testrepo2",
            "testns1/testrepo3",
            "bitnami/redis",
        ]
        .map(|name| RepositoryName::parse(name).unwrap())
        .into_iter()
        .collect();
        assert_eq!(listed.names(), ["bitnami", "testns1", "testns2"]);
        let docker = listed.clone().bare_as("library");
        assert_eq!(docker.names(), ["bitnami", "library", "testns1", "testns2"]);
        for (namespace, count, of_docker) in
            [("testns1", 2, 2), ("testns2", 1, 1), ("library", 0, 1), ("other", 0, 0)]
        {
            assert_eq!(listed.repositories(namespace).len(), count, "{namespace}");
            assert_eq!(docker.repositories(namespace).len(), of_docker, "{namespace}");
        }
    }

    #[test]
    fn a_namespace_includes_nested_namespaces_but_not_names_with_the_same_prefix() {
        let listed: Namespaces = ["a/b/c", "a/x", "ab/x", "a"]
            .map(|name| RepositoryName::parse(name).unwrap())
            .into_iter()
            .collect();
        let names = |namespace| -> Vec<&str> {
            listed.repositories(namespace).into_iter().map(RepositoryName::as_str).collect()
        };
        assert_eq!(names("a"), ["a/b/c", "a/x"]);
        assert_eq!(names("a/b"), ["a/b/c"]);
    }
}
