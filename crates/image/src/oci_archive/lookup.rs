//! Manifests and referrers among the entries of an index, wherever the blobs lie.

use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, MANIFEST_LIMIT, RawManifest, Result, TagOrDigest, listing,
};

use crate::section::Section;

/// An index and the blobs that go with it: of an archive that is read, or of one being written.
pub(super) struct Lookup<'a> {
    /// What the store calls itself.
    pub(super) name: String,
    pub(super) entries: &'a [Descriptor],
    /// The name that every tag stands for, if there is but one.
    pub(super) under: Option<&'a str>,
    pub(super) find: &'a dyn Fn(&Digest) -> Result<Option<Section>>,
}

impl Lookup<'_> {
    pub(super) fn blob(&self, digest: &Digest) -> Result<Section> {
        (self.find)(digest)?.ok_or_else(|| self.not_found(&format!(" blob {digest}")))
    }

    /// A manifest that is listed, or, by digest, any that is there: children of an index are not
    /// listed.
    pub(super) fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let (listed, what) = match (selector, self.under) {
            (TagOrDigest::Tag(_), Some(name)) => {
                (listing::named(self.entries, name), format!(":{name}"))
            }
            (TagOrDigest::Tag(tag), None) => {
                (listing::listed(self.entries, selector), format!(":{tag}"))
            }
            (TagOrDigest::Digest(digest), _) => {
                (listing::listed(self.entries, selector), format!("@{digest}"))
            }
        };
        let listed = listed.map_err(|e| e.at(&self.name))?;
        let missing = || self.not_found(&what);
        let (section, digest, media_type) = match (listed, selector) {
            (Some(entry), _) => {
                let media_type = Some(entry.media_type.clone());
                (self.blob(&entry.digest)?, entry.digest.clone(), media_type)
            }
            (None, TagOrDigest::Digest(digest)) => {
                ((self.find)(digest)?.ok_or_else(missing)?, digest.clone(), None)
            }
            (None, TagOrDigest::Tag(_)) => return Err(missing()),
        };
        let bytes = section.bytes(MANIFEST_LIMIT).map_err(|e| e.at(&digest))?;
        RawManifest::new(bytes, media_type, digest)
    }

    /// What the listed manifests refer to.
    pub(super) fn referrers(&self) -> Result<listing::Referrers> {
        listing::Referrers::read(self.entries, |entry| self.manifest(&entry.digest.clone().into()))
    }

    fn not_found(&self, what: &str) -> Error {
        Error::new(ErrorKind::NotFound).at(format!("{}{what}", self.name))
    }
}
