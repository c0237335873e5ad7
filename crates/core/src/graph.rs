//! The children of a manifest, classified by position and not by media type.
//!
//! One position is ambiguous: an index entry may be a blob if its media type is not that of a
//! manifest, as in the cache of BuildKit. In this case, `is_blob` queries the store.

use futures_util::TryStreamExt as _;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{MANIFEST_LIMIT, Manifest, RawManifest};
use crate::store::Source;

/// The children of a manifest. A store must hold them before the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Successors {
    /// Configs, layers and other blobs, in the order listed, each digest once.
    pub blobs: Vec<Descriptor>,
    /// Layers of a Docker schema 1 manifest, each digest once. Their sizes are unknown.
    pub unsized_blobs: Vec<Digest>,
    /// Manifests of an index, in the order listed, each digest once. An entry may be a blob if its
    /// media type is not that of a manifest.
    pub manifests: Vec<Descriptor>,
}

impl Successors {
    /// Reads the children of a manifest.
    ///
    /// A `subject` is not a child: referrers may be pushed before their subject, or without it.
    ///
    /// Source: image-spec v1.1.1, manifest and image index; distribution-spec v1.1.1, "Pushing
    /// Manifests with Subject".
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the manifest cannot be read or lists itself;
    /// [`TooLarge`](ErrorKind::TooLarge) if it has more than 10,000 entries.
    pub fn of(manifest: &RawManifest) -> Result<Self> {
        let mut successors = match manifest.parse()? {
            Manifest::Image(image) => {
                let blobs = std::iter::once(&image.config).chain(&image.layers);
                Self { blobs: blobs.cloned().collect(), ..Self::default() }
            }
            Manifest::Index(index) => {
                Self { manifests: index.manifests.clone(), ..Self::default() }
            }
            Manifest::Artifact(artifact) => {
                Self { blobs: artifact.blobs.clone(), ..Self::default() }
            }
            Manifest::Schema1(schema1) => {
                let blobs = schema1.fs_layers.iter().map(|layer| layer.blob_sum.clone()).collect();
                Self { unsized_blobs: blobs, ..Self::default() }
            }
            Manifest::Opaque => Self::default(),
        };
        let Self { blobs, unsized_blobs, manifests } = &successors;
        if blobs.len() + unsized_blobs.len() + manifests.len() > ENTRY_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(manifest.digest())
                .detail(format!("the manifest lists more than {ENTRY_LIMIT} entries")));
        }
        if successors.manifests.iter().any(|d| d.digest == *manifest.digest()) {
            return Err(Error::new(ErrorKind::Invalid)
                .at(manifest.digest())
                .detail("the index lists itself"));
        }
        keep_first(&mut successors.blobs, |d| &d.digest);
        keep_first(&mut successors.unsized_blobs, |d| d);
        keep_first(&mut successors.manifests, |d| &d.digest);
        Ok(successors)
    }
}

/// Returns true if an entry of an index is a blob. Such an entry does not have the media type of a
/// manifest, and the source has a blob with its digest but no manifest.
///
/// The registry cache of BuildKit is an index of layers and a configuration, which are blobs. The
/// blob is requested first, because `docker-registry` 2.8 replies with status 500 if a blob is
/// requested as a manifest. A layout stores manifests and blobs in the same folder, so the content
/// of the blob is checked too.
///
/// # Errors
/// The errors of the source.
pub(crate) async fn is_blob(source: &(impl Source + ?Sized), entry: &Descriptor) -> Result<bool> {
    if entry.media_type.is_manifest() || source.blob_size(&entry.digest).await?.is_none() {
        return Ok(false);
    }
    if !holds_manifest(source, entry).await? {
        return Ok(true);
    }
    match source.manifest(&entry.digest.clone().into()).await {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Returns true if the content of a blob is a manifest. If the content is not a JSON object, only
/// the first chunk is read.
async fn holds_manifest(source: &(impl Source + ?Sized), blob: &Descriptor) -> Result<bool> {
    if blob.size > MANIFEST_LIMIT as u64 {
        return Ok(false);
    }
    let mut reader = source.blob(blob).await?;
    let mut content = Vec::new();
    while let Some(chunk) = reader.try_next().await? {
        content.extend_from_slice(&chunk);
        if content.trim_ascii_start().first() != Some(&b'{') {
            return Ok(false);
        }
    }
    let manifest = RawManifest::new(content.into(), None, blob.digest.clone());
    Ok(manifest
        .is_ok_and(|manifest| manifest.parse().is_ok_and(|parsed| *parsed != Manifest::Opaque)))
}

/// Returns the subject of a manifest, and the descriptor of the manifest for the list of referrers,
/// with its artifact type and annotations. Returns `None` if the manifest has no subject.
///
/// Source: distribution-spec v1.1.1, "Listing Referrers".
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the manifest cannot be read, or is its own subject.
pub fn referrer(manifest: &RawManifest) -> Result<Option<(Digest, Descriptor)>> {
    let parsed = manifest.parse()?;
    let Some(subject) = parsed.subject() else {
        return Ok(None);
    };
    if subject.digest == *manifest.digest() {
        return Err(Error::new(ErrorKind::Invalid)
            .at(manifest.digest())
            .detail("the manifest is its own subject"));
    }
    let mut descriptor = manifest.descriptor().clone();
    descriptor.artifact_type = parsed.artifact_type().cloned();
    descriptor.annotations = parsed.annotations().cloned().unwrap_or_default();
    Ok(Some((subject.digest.clone(), descriptor)))
}

fn keep_first<T>(items: &mut Vec<T>, digest: impl Fn(&T) -> &Digest) {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(digest(item).clone()));
}

/// 10,000: real indexes and images have far fewer entries.
const ENTRY_LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn manifest(json: String) -> RawManifest {
        RawManifest::from_bytes(Bytes::from(json), None).unwrap()
    }

    fn descriptor(content: &str, media_type: &str) -> String {
        let digest = Digest::sha256(content.as_bytes());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1}}"#)
    }

    #[test]
    fn successors_are_classified_by_position_and_listed_once() {
        // A layer with the media type of an index is still a blob.
        let layer = descriptor("l", "application/vnd.oci.image.index.v1+json");
        let config = descriptor("c", "application/x");
        let image = manifest(format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer}],
                "subject":{}}}"#,
            descriptor("s", "a/b")
        ));
        let found = Successors::of(&image).unwrap();
        assert_eq!((found.blobs.len(), found.manifests.len()), (2, 0));

        let entry = descriptor("m", "application/vnd.oci.image.layer.v1.tar");
        let index = manifest(format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#));
        let found = Successors::of(&index).unwrap();
        assert_eq!((found.blobs.len(), found.manifests.len()), (0, 1));
    }

    #[test]
    fn a_referrer_is_listed_with_its_type_and_annotations() {
        let config = descriptor("c", "application/vnd.example.sbom");
        let image = manifest(format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{{"k":"v"}},"subject":{}}}"#,
            descriptor("s", "a/b")
        ));
        let (subject, listed) = referrer(&image).unwrap().unwrap();
        assert_eq!(subject, Digest::sha256(b"s"));
        assert_eq!(listed.artifact_type.unwrap().as_str(), "application/vnd.example.sbom");
        assert_eq!(listed.annotations.get("k"), Some("v"));
    }
}
