//! Where things lie under a registry's root.
//!
//! Owns the layout of the folder. Paths are built from names that were checked against their
//! grammar, and from nothing else. Pure.
//!
//! ```text
//! root/lock                                        held while a registry serves the folder
//! root/uploads/<id>, <id>.session                  uploads on their way; files before their name
//! root/blobs/<algorithm>/<xx>/<encoded>            every blob once
//! root/repositories/<name>/_blobs/<algorithm>/<encoded>       hard links to it: who has it
//! root/repositories/<name>/_manifests/<algorithm>/<encoded>   a line with the media type; the bytes
//! root/repositories/<name>/_tags/<tag>                        a line with the digest
//! root/repositories/<name>/_referrers/<algorithm>/<encoded>/<algorithm>-<encoded>   a descriptor
//! ```
//!
//! No part of a repository's name starts with `_`, so names and folders of one's own never meet.
//! Tags differ by case: on a file system that folds it, `V1` and `v1` are one.

use std::path::{Path, PathBuf};

use longshore_core::{Digest, RepositoryName, Tag};

use crate::backend::UploadId;

/// A registry's root.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.0.join("uploads")
    }

    pub(super) fn upload(&self, id: &UploadId) -> PathBuf {
        self.uploads().join(id.as_str())
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.0.join("repositories")
    }

    /// The file that all repositories with this blob share.
    pub(super) fn pool(&self, digest: &Digest) -> PathBuf {
        let encoded = digest.encoded();
        let prefix = encoded.get(..2).unwrap_or(encoded);
        let folder = self.0.join("blobs").join(digest.algorithm_name());
        folder.join(prefix).join(encoded)
    }

    pub(super) fn repository(&self, name: &RepositoryName) -> Folder {
        let mut path = self.repositories();
        path.extend(name.components());
        Folder(path)
    }
}

/// A repository's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn blobs(&self) -> PathBuf {
        self.0.join(BLOBS)
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let folder = self.blobs().join(digest.algorithm_name());
        folder.join(digest.encoded())
    }

    pub(super) fn manifests(&self) -> PathBuf {
        self.0.join(MANIFESTS)
    }

    pub(super) fn manifest(&self, digest: &Digest) -> PathBuf {
        let folder = self.manifests().join(digest.algorithm_name());
        folder.join(digest.encoded())
    }

    pub(super) fn tags(&self) -> PathBuf {
        self.0.join("_tags")
    }

    pub(super) fn tag(&self, tag: &Tag) -> PathBuf {
        self.tags().join(tag.as_str())
    }

    pub(super) fn referrers(&self, subject: &Digest) -> PathBuf {
        let folder = self.0.join("_referrers").join(subject.algorithm_name());
        folder.join(subject.encoded())
    }

    pub(super) fn referrer(&self, subject: &Digest, digest: &Digest) -> PathBuf {
        let name = digest.file_name();
        self.referrers(subject).join(name)
    }
}

/// The folders of which a repository has one at least.
pub(super) const BLOBS: &str = "_blobs";
/// See [`BLOBS`].
pub(super) const MANIFESTS: &str = "_manifests";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_the_layout_stay_apart() {
        let place = Place::new("/r".into());
        let folder = |name| place.repository(&RepositoryName::parse(name).unwrap());
        let tag = Tag::parse("v1").unwrap();
        assert_eq!(
            folder("a/blobs/uploads").tag(&tag),
            Path::new("/r/repositories/a/blobs/uploads/_tags/v1")
        );
        let digest = Digest::sha256(b"");
        assert!(place.pool(&digest).starts_with("/r/blobs/sha256/e3"));
        assert!(folder("a").blob(&digest).starts_with("/r/repositories/a/_blobs/sha256"));
    }
}
