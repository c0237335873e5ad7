//! Finds manifests and referrers among the entries of an index, for reading and for writing an
//! archive.

use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, MANIFEST_LIMIT, RawManifest, Result, TagOrDigest, listing,
};

use crate::file_range::Section;

/// The index and the blobs of an archive that is being read or written.
pub(super) struct Lookup<'a> {
    /// The name of the store.
    pub(super) name: String,
    pub(super) entries: &'a [Descriptor],
    /// If set, every tag selects the entry with this name.
    pub(super) under: Option<&'a str>,
    pub(super) find: &'a dyn Fn(&Digest) -> Result<Option<Section>>,
}

impl Lookup<'_> {
    pub(super) fn blob(&self, digest: &Digest) -> Result<Section> {
        (self.find)(digest)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound).at(format!("{} blob {digest}", self.name))
        })
    }

    /// Reads a manifest. A tag selects a listed manifest. A digest selects any manifest in the
    /// archive, because children of an index are not listed.
    pub(super) fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let listed = listing::listed(self.entries, selector, self.under);
        let listed = listed.map_err(|e| e.at(&self.name))?;
        let missing = || listing::missing(&self.name, selector, self.under);
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

    /// Returns the referrers among the listed manifests.
    pub(super) fn referrers(&self) -> Result<listing::Referrers> {
        listing::Referrers::read(self.entries, |entry| self.manifest(&entry.digest.clone().into()))
    }
}
