//! Where objects lie: the layout of every storage. Pure.
//!
//! ```text
//! blobs/<algorithm>/<encoded>                             a blob, once for all repositories
//! uploads/<id>, uploads/<id>.session                      content on its way; how far it is
//! repositories/<name>/_blobs/<algorithm>/<encoded>        a link: the repository has the blob
//! repositories/<name>/_manifests/<algorithm>/<encoded>    a line with the media type; the bytes
//! repositories/<name>/_tags/<tag>                         a line with the digest
//! repositories/<name>/_referrers/<algorithm>/<encoded>/<algorithm>-<encoded>    a descriptor
//! ```
//!
//! No part of a repository's name starts with `_`, so names and layout never meet. Tags differ by
//! case: on a file system that folds it, `V1` and `v1` are one.

use std::fmt;

use longshore_core::{Digest, RepositoryName, Tag};

use super::UploadId;

/// The name of an object: parts joined by `/`, at most some 600 bytes.
///
/// Each part is a safe file name: it has ASCII letters, digits and `._=+-` only, and is neither empty
/// nor `.` nor `..`. Keys are made of values that were checked against their grammar, and of nothing
/// else.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is below `uploads/`: what is there lasts as long as the process that runs, but
    /// need not survive a loss of power.
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

    /// The key of a name below this one.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self(format!("{self}/{name}"))
    }

    /// The key of an object beside this one.
    #[cfg(feature = "object-store")]
    pub(crate) fn and(&self, suffix: &str) -> Self {
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

/// What a repository has below it, of which one at least.
pub(crate) const LINKS: &str = "_blobs";
/// See [`LINKS`].
pub(crate) const MANIFESTS: &str = "_manifests";
/// What follows an upload's id in the key of its session.
pub(crate) const SESSION_SUFFIX: &str = ".session";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_the_layout_stay_apart() {
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
