//! Indexes in indexes.

use std::collections::HashSet;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Index, MANIFEST_LIMIT, Manifest, RawManifest, missing};
use crate::platform::Platform;
use crate::store::Source;

/// The image for a platform that an index lists: itself, or else by the indexes that it lists, those
/// that are nearer first.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) with the platforms of all of them;
/// [`TooLarge`](ErrorKind::TooLarge) for more of them than real ones have; the source's error.
pub(crate) async fn image_in(
    source: &(impl Source + ?Sized),
    index: Index,
    platform: &Platform,
) -> Result<Descriptor> {
    let (mut there, mut below) = (Vec::new(), Below::new(source));
    let mut level = vec![index];
    for _ in 0..DEPTH {
        if let Some(found) = level.iter().find_map(|index| index.for_platform(platform).ok()) {
            return Ok(found.clone());
        }
        there.extend(level.iter().flat_map(Index::platforms).map(ToString::to_string));
        let mut next = Vec::new();
        for entry in level.iter().flat_map(|index| &index.manifests) {
            if entry.media_type.is_index()
                && let Some(manifest) = below.manifest(&entry.digest).await?
                && let Manifest::Index(index) = manifest.parse()?
            {
                next.push(index);
            }
        }
        level = next;
    }
    Err(missing(platform, there))
}

/// The manifests below an index, each read once: what a few documents list again and again must not
/// be read for ever, nor all that a registry makes up be kept.
pub(crate) struct Below<'a, S: ?Sized> {
    source: &'a S,
    seen: HashSet<Digest>,
    size: usize,
}

impl<'a, S: Source + ?Sized> Below<'a, S> {
    pub(crate) fn new(source: &'a S) -> Self {
        Self { source, seen: HashSet::new(), size: 0 }
    }

    pub(crate) fn source(&self) -> &'a S {
        self.source
    }

    /// A manifest that was not read before.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond [`COUNT`] of them or [`SIZE`] bytes; the source's error.
    pub(crate) async fn manifest(&mut self, digest: &Digest) -> Result<Option<RawManifest>> {
        if !self.seen.insert(digest.clone()) {
            return Ok(None);
        }
        let manifest = self.source.manifest(&digest.clone().into()).await?;
        self.size += manifest.bytes().len();
        if self.seen.len() > COUNT || self.size > SIZE {
            return Err(Error::new(ErrorKind::TooLarge).at(digest).detail(format!(
                "the manifests within an index may be {COUNT}, of {SIZE} bytes together"
            )));
        }
        Ok(Some(manifest))
    }
}

/// 1,000 manifests.
pub(crate) const COUNT: usize = 1_000;
/// 32 MiB.
const SIZE: usize = 4 * MANIFEST_LIMIT;
/// 4 indexes within each other are looked into: real ones have two at most.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageConfig, Memory, Pack, image_for};

    async fn image(store: &Memory, platform: &str) -> Descriptor {
        let platform = Platform::parse(platform).unwrap();
        let config = ImageConfig { platform: platform.clone(), ..ImageConfig::default() };
        let mut image = Pack::image(&config).unwrap().push(store, None).await.unwrap();
        image.platform = Some(platform);
        image
    }

    #[tokio::test]
    async fn trap_24_an_image_is_found_in_an_index_within_an_index() {
        let store = Memory::new();
        let arm = image(&store, "linux/arm64").await;
        let inner = Pack::index(vec![arm.clone()]).push(&store, None).await.unwrap();
        let middle = Pack::index(vec![inner.clone()]).push(&store, None).await.unwrap();
        let amd = image(&store, "linux/amd64").await;
        let entries = vec![inner, middle, amd.clone()];
        let outer = Pack::index(entries).push(&store, None).await.unwrap();
        let manifest = store.manifest(&outer.digest.into()).await.unwrap();
        for (platform, expected) in [("linux/arm64", &arm), ("linux/amd64", &amd)] {
            let platform = platform.parse().unwrap();
            let found = image_for(&store, manifest.clone(), &platform).await.unwrap();
            assert_eq!(*found.digest(), expected.digest);
        }
        let s390x = "linux/s390x".parse().unwrap();
        let e = image_for(&store, manifest, &s390x).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("the index has linux/amd64, linux/arm64"), "{e}");
    }

    #[tokio::test]
    async fn indexes_within_indexes_are_looked_into_so_far_and_no_further() {
        let store = Memory::new();
        let mut deepest = image(&store, "linux/arm64").await;
        for depth in 1..=DEPTH + 1 {
            deepest = Pack::index(vec![deepest]).push(&store, None).await.unwrap();
            let manifest = store.manifest(&deepest.digest.clone().into()).await.unwrap();
            let arm = "linux/arm64".parse().unwrap();
            let found = image_for(&store, manifest, &arm).await;
            assert_eq!(found.is_ok(), depth <= DEPTH, "{depth}");
        }
    }
}
