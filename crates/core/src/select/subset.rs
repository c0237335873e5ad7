//! Selects several platforms of an index.

use serde_json::value::RawValue;

use super::{nested, select_image};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Object, parsed};
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::manifest::{Manifest, RawManifest, attested};
use crate::platform::Platform;
use crate::store::Source;

/// The images that were selected from a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The selected image, or an index of the selected images.
    pub manifest: RawManifest,
    /// The index that was reduced to `manifest`, if it lists anything else.
    pub index: Option<RawManifest>,
    /// The attestations of the selected image that BuildKit added to the index, if `manifest` is
    /// the image itself, which cannot list them.
    pub attestations: Vec<Descriptor>,
}

/// Selects the images for platforms, each by the rules of [`select_image`].
///
/// - No platform selects the whole manifest, and one platform selects its image.
/// - Several platforms select an index of their images. It is the source's index without the
///   entries of other images. The text of everything else stays the same. Attestations of BuildKit
///   follow their images.
/// - A single image must fit one of the platforms. Any other manifest, such as an artifact, is
///   selected for all platforms.
///
/// # Errors
/// The errors of [`select_image`]; [`NotFound`](ErrorKind::NotFound) if the index lacks one of the
/// platforms; [`Unsupported`](ErrorKind::Unsupported) if one of several images is listed only by a
/// nested index.
pub async fn select_platforms(
    source: &(impl Source + ?Sized),
    manifest: RawManifest,
    platforms: &[Platform],
) -> Result<Selection> {
    let mut wanted: Vec<&Platform> = Vec::new();
    for platform in platforms {
        if !wanted.contains(&platform) {
            wanted.push(platform);
        }
    }
    let unchanged = |manifest| Selection { manifest, index: None, attestations: Vec::new() };
    let (index, parsed) = match manifest.parse()? {
        _ if wanted.is_empty() => return Ok(unchanged(manifest)),
        Manifest::Index(parsed) => (manifest.clone(), parsed),
        Manifest::Image(image) if image.is_container_image() => {
            let image = Image::read(source, manifest).await?;
            check_image(image.platform(), &wanted)?;
            return Ok(unchanged(image.manifest().clone()));
        }
        _ => return Ok(unchanged(manifest)),
    };
    if let [platform] = wanted[..] {
        let image = select_image(source, manifest.clone(), platform).await?;
        let attests = |entry: &&Descriptor| attested(entry).as_ref() == Some(image.digest());
        let attestations = parsed.manifests.iter().filter(attests).cloned().collect();
        return Ok(Selection { manifest: image, index: Some(index), attestations });
    }
    let mut images = Vec::new();
    for platform in wanted {
        images.push(nested::image_in(source, parsed, platform).await?.digest);
    }
    let manifest = subset(&index, &images)?;
    let index = Some(index).filter(|index| index.digest() != manifest.digest());
    Ok(Selection { manifest, index, attestations: Vec::new() })
}

/// Checks that a single image fits one of the platforms.
fn check_image(image: &Platform, wanted: &[&Platform]) -> Result<()> {
    if wanted.iter().any(|wanted| image.satisfies(wanted)) {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    Err(Error::new(ErrorKind::NotFound)
        .at(format!("platform {}", wanted.join(", ")))
        .detail(format!("the image is for {image}")))
}

/// Returns the index with only the entries of these images and of their attestations.
fn subset(index: &RawManifest, images: &[Digest]) -> Result<RawManifest> {
    let mut document = Object::parse(index.bytes())?;
    let entries: Vec<Box<RawValue>> = document.get("manifests")?.unwrap_or_default();
    let mut kept = Vec::new();
    let mut found = Vec::new();
    for text in &entries {
        let entry: Descriptor = parsed(text)?;
        let is_image = images.contains(&entry.digest);
        if is_image || attested(&entry).is_some_and(|image| images.contains(&image)) {
            kept.push(text);
        }
        found.push(entry.digest);
    }
    if let Some(nested) = images.iter().find(|image| !found.contains(image)) {
        return Err(Error::new(ErrorKind::Unsupported)
            .at(nested)
            .detail("the image is listed only by a nested index")
            .with_hint("Copy the nested index by its digest."));
    }
    if kept.len() == entries.len() {
        return Ok(index.clone());
    }
    document.set("manifests", &kept)?;
    RawManifest::from_bytes(document.bytes()?, Some(index.media_type().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageConfig, MediaType, Memory, Pack, Target as _};

    const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/arm/v7"];

    fn platforms(texts: &[&str]) -> Vec<Platform> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn image(store: &Memory, platform: &str) -> Descriptor {
        let config = ImageConfig { platform: platform.parse().unwrap(), ..ImageConfig::default() };
        Pack::image(&config).unwrap().push(store, None).await.unwrap()
    }

    /// The text of an index of three images, each followed by its attestation as BuildKit writes it.
    /// Returns the index and the texts of the six entries.
    async fn built(store: &Memory) -> (RawManifest, Vec<String>) {
        let mut entries = Vec::new();
        for name in PLATFORMS {
            let platform: Platform = name.parse().unwrap();
            let image = image(store, name).await;
            entries.push(format!(
                r#"{{ "size":{}, "odd": 1.10, "digest":"{}","mediaType":"{}","platform":{} }}"#,
                image.size,
                image.digest,
                image.media_type,
                serde_json::to_string(&platform).unwrap(),
            ));
            let attestation = Pack::artifact("application/vnd.in-toto+json".parse().unwrap());
            let attestation = attestation.file("statement", name.to_owned());
            let attestation = attestation.push(store, None).await.unwrap();
            entries.push(format!(
                r#"{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"vnd.docker.reference.digest":"{}","vnd.docker.reference.type":"attestation-manifest"}},"platform":{{"architecture":"unknown","os":"unknown"}}}}"#,
                attestation.media_type, attestation.digest, attestation.size, image.digest,
            ));
        }
        let index = RawManifest::from_bytes(text_of(&entries).into(), None).unwrap();
        store.push_manifest(&index, None).await.unwrap();
        (index, entries)
    }

    fn text_of(entries: &[String]) -> String {
        format!(
            r#"{{"annotations":{{"b":"1","a":"2"}},"manifests":[{}],"mediaType":"{}","schemaVersion":2,"unknown":1.10}}"#,
            entries.join(","),
            MediaType::OCI_INDEX,
        )
    }

    #[tokio::test]
    async fn an_index_keeps_the_text_of_its_fields_and_of_the_selected_entries() {
        let store = Memory::new();
        let (index, entries) = built(&store).await;
        for (wanted, kept) in [
            (&["linux/arm64", "linux/amd64"][..], &[0, 1, 2, 3][..]),
            (&["linux/amd64", "linux/arm/v7"], &[0, 1, 4, 5]),
            // The best fit for arm/v8 is the image for arm/v7.
            (&["linux/amd64", "linux/arm/v8", "linux/arm/v7"], &[0, 1, 4, 5]),
        ] {
            let selected =
                select_platforms(&store, index.clone(), &platforms(wanted)).await.unwrap();
            let kept: Vec<String> = kept.iter().map(|at| entries[*at].clone()).collect();
            let text = std::str::from_utf8(selected.manifest.bytes()).unwrap();
            assert_eq!(text, text_of(&kept), "{wanted:?}");
            assert_eq!(selected.index.as_ref(), Some(&index));
            assert_eq!(*selected.manifest.digest(), Digest::sha256(text.as_bytes()));
        }
    }

    #[tokio::test]
    async fn a_selection_of_everything_changes_nothing() {
        let store = Memory::new();
        let (index, _) = built(&store).await;
        for wanted in [&[][..], &PLATFORMS] {
            let selected =
                select_platforms(&store, index.clone(), &platforms(wanted)).await.unwrap();
            assert_eq!((selected.manifest, selected.index), (index.clone(), None), "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn one_platform_selects_the_image_without_its_attestation() {
        let store = Memory::new();
        let (index, _) = built(&store).await;
        let twice = platforms(&["linux/arm64", "linux/arm64"]);
        let selected = select_platforms(&store, index.clone(), &twice).await.unwrap();
        let Manifest::Index(parsed) = index.parse().unwrap() else { panic!("expected an index") };
        assert_eq!(*selected.manifest.digest(), parsed.manifests[2].digest);
        assert_eq!(selected.index, Some(index.clone()));
        assert_eq!(selected.attestations, parsed.manifests[3..4]);
    }

    #[tokio::test]
    async fn a_missing_platform_is_an_error_that_lists_the_available_platforms() {
        let store = Memory::new();
        let (index, _) = built(&store).await;
        let wanted = platforms(&["linux/amd64", "linux/s390x"]);
        let e = select_platforms(&store, index, &wanted).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        let text = e.to_string();
        assert!(text.contains("linux/s390x"), "{text}");
        assert!(text.contains("linux/amd64, linux/arm64, linux/arm/v7"), "{text}");
    }

    #[tokio::test]
    async fn a_single_image_must_fit_one_of_the_platforms() {
        let store = Memory::new();
        let arm = image(&store, "linux/arm64").await;
        let arm = store.manifest(&arm.digest.into()).await.unwrap();
        let wanted = platforms(&["linux/amd64", "linux/arm64"]);
        let selected = select_platforms(&store, arm.clone(), &wanted).await.unwrap();
        assert_eq!((&selected.manifest, selected.index), (&arm, None));
        let wanted = platforms(&["linux/amd64", "linux/s390x"]);
        let e = select_platforms(&store, arm, &wanted).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("the image is for linux/arm64"), "{e}");
    }

    #[tokio::test]
    async fn an_image_in_a_nested_index_is_refused_among_several() {
        let store = Memory::new();
        let mut entries = Vec::new();
        for name in PLATFORMS {
            let mut entry = image(&store, name).await;
            entry.platform = Some(name.parse().unwrap());
            entries.push(entry);
        }
        let inner = Pack::index(vec![entries.remove(2)]).push(&store, None).await.unwrap();
        entries.push(inner);
        let outer = Pack::index(entries).push(&store, None).await.unwrap();
        let outer = store.manifest(&outer.digest.into()).await.unwrap();
        let wanted = platforms(&["linux/amd64", "linux/arm/v7"]);
        let e = select_platforms(&store, outer.clone(), &wanted).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        select_platforms(&store, outer, &wanted[1..]).await.unwrap();
    }
}
