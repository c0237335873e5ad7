//! Compares locations by their meaning, because one place has several spellings.

use std::path::{Component, Path, PathBuf};

use longshore_core::{RegistryName, Repository};

use super::{Location, Place};

impl Location {
    /// Returns the form that all spellings of this location share. Use it only for comparisons: a
    /// registry name loses the port of HTTPS, although credentials may be stored for the written
    /// name.
    pub(crate) fn canonical(&self) -> Self {
        let place = match &self.place {
            Place::Registry(repository) => Place::Registry(without_https_port(repository)),
            place => place.canonical(),
        };
        Self { place, ..self.clone() }
    }
}

impl Place {
    /// Returns the place with an absolute path without symbolic links. A repository at a registry
    /// and a stream stay unchanged.
    pub(crate) fn canonical(&self) -> Self {
        match self {
            place if place.is_stream() => place.clone(),
            Self::Registry(repository) => Self::Registry(repository.clone()),
            Self::Layout(path) => Self::Layout(canonical(path)),
            Self::OciArchive(path) => Self::OciArchive(canonical(path)),
            Self::DockerArchive(path) => Self::DockerArchive(canonical(path)),
        }
    }
}

fn without_https_port(repository: &Repository) -> Repository {
    let registry = repository.registry();
    match RegistryName::parse(registry.host()) {
        Ok(host) if registry.port() == Some(443) => {
            Repository::new(host, repository.name().clone())
        }
        _ => repository.clone(),
    }
}

/// Resolves the part of a path that exists, because a target may not exist yet. The rest has no
/// symbolic links, so `..` removes the component before it.
fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = resolved.pop(),
            component => {
                resolved.push(component);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_repository_are_equal() {
        for (one, other, same) in [
            ("x", "docker.io/library/x", true),
            ("x:v1", "index.docker.io/library/x:v1", true),
            ("R.example/x", "r.example:443/x", true),
            ("[::1]:443/x", "[::1]/x", true),
            ("r.example/x", "r.example:5000/x", false),
            ("r.example/x", "r.example/y", false),
            ("r.example/x:v1", "r.example/x:v2", false),
        ] {
            let equal = location(one).canonical() == location(other).canonical();
            assert_eq!(equal, same, "{one} {other}");
        }
    }

    #[test]
    fn spellings_of_one_path_are_equal() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| location(&format!("oci:{}:v1", folder.path().join(path).display()));
        std::fs::create_dir(folder.path().join("there")).unwrap();
        for (one, other, same) in [
            ("new", "./new", true),
            ("new", "there/../new", true),
            ("new", "absent/../new", true),
            ("new", "there/new", false),
        ] {
            assert_eq!(at(one).canonical() == at(other).canonical(), same, "{one} {other}");
        }
        assert_eq!(location("oci:d").canonical(), location("oci:./d").canonical());
        assert_ne!(location("oci:d").canonical(), location("oci-archive:d").canonical());
        let here = std::env::current_dir().unwrap();
        let absolute = location(&format!("oci:{}", here.join("d").display()));
        assert_eq!(location("oci:d").canonical(), absolute.canonical());
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_the_place_to_which_it_points() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("real")).unwrap();
        std::os::unix::fs::symlink(path("real"), path("link")).unwrap();
        assert_eq!(canonical(&path("link/new")), canonical(&path("real/new")));
        assert_eq!(canonical(&path("link/../new")), canonical(&path("new")));
    }
}
