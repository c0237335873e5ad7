//! Searches nested indexes.

use std::collections::HashSet;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::image::Image;
use crate::manifest::{Index, MANIFEST_LIMIT, Manifest, RawManifest, is_attestation, missing};
use crate::platform::{Fit, Platform};
use crate::store::Source;

/// Returns the image of an index that fits a platform best. The image may be listed directly or in
/// a nested index. If several images fit equally well, the least nested image is returned.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) with the platforms of all images;
/// [`TooLarge`](ErrorKind::TooLarge) if more than [`COUNT`] manifests or [`SIZE`] bytes would have
/// to be read; the errors of the source.
pub(crate) async fn image_in(
    source: &(impl Source + ?Sized),
    index: &Index,
    platform: &Platform,
) -> Result<Descriptor> {
    let mut search =
        Search { platform, best: None, platforms: Vec::new(), unspecified: Vec::new() };
    let (mut level, mut below) = (vec![index.clone()], Below::new(source));
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for entry in search.examine(&level) {
            if let Some(manifest) = below.manifest(entry).await?
                && let Manifest::Index(index) = manifest.parse()?
            {
                next.push(index.clone());
            }
        }
        level = next;
    }
    if search.best.is_none() {
        search.read_configs(&mut below).await?;
    }
    search.best.map(|(_, image)| image).ok_or_else(|| missing(platform, &search.platforms))
}

struct Search<'a> {
    platform: &'a Platform,
    best: Option<(Fit, Descriptor)>,
    /// The platforms found so far.
    platforms: Vec<Platform>,
    /// The entries that do not state a platform.
    unspecified: Vec<Descriptor>,
}

impl Search<'_> {
    /// Examines the indexes of one level. Returns the entries of nested indexes, or nothing if an
    /// image fits exactly.
    fn examine<'i>(&mut self, level: &'i [Index]) -> Vec<&'i Descriptor> {
        for (fit, image) in level.iter().filter_map(|index| index.best_for(self.platform)) {
            self.offer(fit, image);
        }
        if self.best.as_ref().is_some_and(|(fit, _)| fit.is_exact()) {
            return Vec::new();
        }
        self.platforms.extend(level.iter().flat_map(Index::platforms).cloned());
        let entries = || level.iter().flat_map(|index| &index.manifests);
        let unspecified = |entry: &&Descriptor| {
            entry.platform.is_none() && !entry.media_type.is_index() && !is_attestation(entry)
        };
        self.unspecified.extend(entries().filter(unspecified).cloned());
        entries().filter(|entry| entry.media_type.is_index()).collect()
    }

    fn offer(&mut self, fit: Fit, image: &Descriptor) {
        if self.best.as_ref().is_none_or(|(best, _)| fit < *best) {
            self.best = Some((fit, image.clone()));
        }
    }

    /// Reads the configurations of the images whose entries do not state a platform.
    async fn read_configs<S>(&mut self, below: &mut Below<'_, S>) -> Result<()>
    where
        S: Source + ?Sized,
    {
        for entry in std::mem::take(&mut self.unspecified) {
            let Some(manifest) = below.manifest(&entry).await? else { continue };
            if !matches!(manifest.parse()?, Manifest::Image(image) if image.is_container_image()) {
                continue;
            }
            let image = Image::read(below.source(), manifest).await?;
            self.platforms.push(image.platform().clone());
            if let Some(fit) = image.platform().fit(self.platform) {
                self.offer(fit, &entry);
            }
        }
        Ok(())
    }
}

/// The manifests below an index. Each manifest is read only once, because several indexes may list
/// the same manifest. The number and total size of the manifests are limited, because a malicious
/// registry could list any number of manifests.
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

    /// Reads the manifest of an entry. Returns `None` if the manifest was read before, or if the
    /// entry is a blob, which an index may also list. An entry with the media type of a layer is
    /// not read.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond [`COUNT`] manifests or [`SIZE`] bytes; the errors
    /// of the source.
    pub(crate) async fn manifest(&mut self, entry: &Descriptor) -> Result<Option<RawManifest>> {
        let digest = &entry.digest;
        if entry.media_type.is_layer() || !self.seen.insert(digest.clone()) {
            return Ok(None);
        }
        self.check(digest)?;
        if graph::is_blob(self.source, entry).await? {
            // `is_blob` may have read the content of the entry.
            let size = usize::try_from(entry.size).ok().filter(|size| *size <= MANIFEST_LIMIT);
            self.size += size.unwrap_or_default();
            return Ok(None);
        }
        let manifest = self.source.manifest(&digest.clone().into()).await?;
        self.size += manifest.bytes().len();
        self.check(digest)?;
        Ok(Some(manifest))
    }

    fn check(&self, digest: &Digest) -> Result<()> {
        if self.seen.len() <= COUNT && self.size <= SIZE {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge).at(digest).detail(format!(
            "the index lists more than {COUNT} manifests, or manifests of more than {SIZE} bytes"
        )))
    }
}

/// 1,000 manifests: far more than in real indexes.
pub(crate) const COUNT: usize = 1_000;
/// 32 MiB: the size of four manifests of maximum size.
const SIZE: usize = 4 * MANIFEST_LIMIT;
/// Maximum nesting depth: 4. Real indexes nest at most two levels deep.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageConfig, Memory, Pack, select_image};

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
            let found = select_image(&store, manifest.clone(), &platform).await.unwrap();
            assert_eq!(*found.digest(), expected.digest);
        }
        let s390x = "linux/s390x".parse().unwrap();
        let e = select_image(&store, manifest, &s390x).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("the index has linux/amd64, linux/arm64"), "{e}");
    }

    #[tokio::test]
    async fn the_best_fit_of_all_indexes_is_chosen() {
        let store = Memory::new();
        let (v5, v6, v7) = (
            image(&store, "linux/arm/v5").await,
            image(&store, "linux/arm/v6").await,
            image(&store, "linux/arm/v7").await,
        );
        let mut attestation = image(&store, "linux/arm/v8").await;
        attestation.annotations.insert("vnd.docker.reference.type", "attestation-manifest");
        let inner = Pack::index(vec![v7.clone()]).push(&store, None).await.unwrap();
        let near = [attestation, v5.clone(), v6.clone()];
        for (entries, wanted, expected) in [
            (vec![], "linux/arm/v7", &v6),
            (vec![], "linux/arm", &v6),
            (vec![], "linux/arm/v5", &v5),
            (vec![inner.clone()], "linux/arm/v7", &v7),
            (vec![inner.clone()], "linux/arm/v6", &v6),
            (vec![inner], "linux/arm/v8", &v7),
        ] {
            let entries = [&near[..], &entries].concat();
            let outer = Pack::index(entries).push(&store, None).await.unwrap();
            let manifest = store.manifest(&outer.digest.into()).await.unwrap();
            let found = select_image(&store, manifest, &wanted.parse().unwrap()).await.unwrap();
            assert_eq!(*found.digest(), expected.digest, "{wanted}");
        }
    }

    #[tokio::test]
    async fn platforms_that_an_index_does_not_state_are_read_from_the_configurations() {
        let store = Memory::new();
        let mut arm = image(&store, "linux/arm64").await;
        arm.platform = None;
        let artifact = Pack::artifact("a/b".parse().unwrap()).push(&store, None).await.unwrap();
        let outer = Pack::index(vec![artifact, arm.clone()]).push(&store, None).await.unwrap();
        let manifest = store.manifest(&outer.digest.into()).await.unwrap();
        let wanted = "linux/arm64".parse().unwrap();
        let found = select_image(&store, manifest.clone(), &wanted).await.unwrap();
        assert_eq!(*found.digest(), arm.digest);
        let amd = "linux/amd64".parse().unwrap();
        let e = select_image(&store, manifest, &amd).await.unwrap_err();
        assert!(e.to_string().contains("the index has linux/arm64"), "{e}");
    }

    #[tokio::test]
    async fn an_index_with_a_platform_is_searched_like_other_indexes() {
        let store = Memory::new();
        let arm = image(&store, "linux/arm64").await;
        let mut inner = Pack::index(vec![arm.clone()]).push(&store, None).await.unwrap();
        inner.platform = arm.platform.clone();
        let outer = Pack::index(vec![inner]).push(&store, None).await.unwrap();
        let manifest = store.manifest(&outer.digest.into()).await.unwrap();
        let platform = arm.platform.unwrap();
        let found = select_image(&store, manifest, &platform).await.unwrap();
        assert_eq!(*found.digest(), arm.digest);
    }

    #[tokio::test]
    async fn nested_indexes_are_searched_up_to_the_maximum_depth() {
        let store = Memory::new();
        let mut deepest = image(&store, "linux/arm64").await;
        for depth in 1..=DEPTH + 1 {
            deepest = Pack::index(vec![deepest]).push(&store, None).await.unwrap();
            let manifest = store.manifest(&deepest.digest.clone().into()).await.unwrap();
            let arm = "linux/arm64".parse().unwrap();
            let found = select_image(&store, manifest, &arm).await;
            assert_eq!(found.is_ok(), depth <= DEPTH, "{depth}");
        }
    }
}
