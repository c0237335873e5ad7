//! The layout of every storage: the keys of its objects.
//!
//! ```text
//! blobs/<algorithm>/<encoded>                             a blob, once for all repositories
//! uploads/<id>, uploads/<id>.session                      content of an upload; its progress
//! repositories/<name>/_blobs/<algorithm>/<encoded>        a link: the repository has the blob
//! repositories/<name>/_manifests/<algorithm>/<encoded>    a line with the media type; the bytes
//! repositories/<name>/_tags/<tag>                         a line with the digest
//! repositories/<name>/_referrers/<algorithm>/<encoded>/<algorithm>-<encoded>    a descriptor
//! ```
//!
//! No part of a repository's name starts with `_`, so names and layout cannot collide. Tags are
//! case-sensitive, except on a file system that ignores case: there, `V1` and `v1` are the same
//! tag.

use std::fmt;

use longshore_core::{Digest, RepositoryName, Tag};

use super::UploadId;

/// The name of an object: parts joined by `/`, about 600 bytes at most.
///
/// Each part is a safe file name: it consists of ASCII letters, digits and `._=+-`, and is not
/// empty, `.` or `..`. Keys are built only from values that were checked against their grammar.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the key is below `uploads/`. Objects there need not survive a power loss.
    #[must_use]
    pub fn is_of_upload(&self) -> bool {
        self.0.starts_with("uploads/")
    }

    pub(crate) fn blob(digest: &Digest) -> Self {
        Self("blobs".to_owned()).of_digest(digest)
    }

    pub(crate) fn uploads() -> Self {
        Self("uploads".to_owned())
    }

    pub(crate) fn upload(id: &UploadId) -> Self {
        Self(format!("uploads/{id}"))
    }

    pub(crate) fn session(id: &UploadId) -> Self {
        Self(format!("uploads/{id}{SESSION_SUFFIX}"))
    }

    pub(crate) fn repositories() -> Self {
        Self("repositories".to_owned())
    }

    pub(crate) fn repository(name: &RepositoryName) -> Self {
        Self::repositories().join(name.as_str())
    }

    pub(crate) fn links(name: &RepositoryName) -> Self {
        Self::repository(name).join(LINKS)
    }

    pub(crate) fn link(name: &RepositoryName, digest: &Digest) -> Self {
        Self::links(name).of_digest(digest)
    }

    pub(crate) fn manifests(name: &RepositoryName) -> Self {
        Self::repository(name).join(MANIFESTS)
    }

    pub(crate) fn manifest(name: &RepositoryName, digest: &Digest) -> Self {
        Self::manifests(name).of_digest(digest)
    }

    pub(crate) fn tags(name: &RepositoryName) -> Self {
        Self::repository(name).join("_tags")
    }

    pub(crate) fn tag(name: &RepositoryName, tag: &Tag) -> Self {
        Self::tags(name).join(tag.as_str())
    }

    pub(crate) fn referrers(name: &RepositoryName, subject: &Digest) -> Self {
        Self::repository(name).join("_referrers").of_digest(subject)
    }

    pub(crate) fn referrer(name: &RepositoryName, subject: &Digest, digest: &Digest) -> Self {
        Self::referrers(name, subject).join(&digest.file_name())
    }

    /// Returns the key of a name below this one.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self(format!("{self}/{name}"))
    }

    /// Returns this key with a suffix.
    #[cfg(feature = "object-store")]
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        Self(format!("{self}{suffix}"))
    }

    fn of_digest(&self, digest: &Digest) -> Self {
        Self(format!("{self}/{}/{}", digest.algorithm_name(), digest.encoded()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of links to blobs. Every repository has this folder or [`MANIFESTS`].
pub(crate) const LINKS: &str = "_blobs";
/// The folder of manifests. See [`LINKS`].
pub(crate) const MANIFESTS: &str = "_manifests";
/// The suffix that turns the key of an upload into the key of its session.
pub(crate) const SESSION_SUFFIX: &str = ".session";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_do_not_collide_with_the_layout() {
        let name = |name| RepositoryName::parse(name).unwrap();
        let tag = Key::tag(&name("a/blobs/uploads"), &Tag::parse("v1").unwrap());
        assert_eq!(tag.as_str(), "repositories/a/blobs/uploads/_tags/v1");
        let digest = Digest::sha256(b"");
        assert!(Key::blob(&digest).as_str().starts_with("blobs/sha256/e3b0c442"));
        let link = Key::link(&name("a"), &digest);
        assert!(link.as_str().starts_with("repositories/a/_blobs/sha256/e3b0c442"));
        assert!(Key::session(&UploadId::random().unwrap()).is_of_upload());
        assert!(!Key::uploads().is_of_upload());
    }
}
