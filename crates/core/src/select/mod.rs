//! Selects images by platform, and lists the images of an index.

mod nested;
mod subset;

use serde_json::Map;

pub use self::subset::{Selection, select_platforms};

use self::nested::Below;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::manifest::{Manifest, RawManifest, Schema1, is_attestation};
use crate::platform::{AvailablePlatforms, Platform};
use crate::store::Source;

/// Returns the image for a platform.
///
/// From an index, selects the image that fits best. A single image is returned if its configuration
/// fits the platform. Any other manifest, such as an artifact or a schema 1 image, is returned for
/// every platform.
///
/// The best fit is an image for exactly this platform, or otherwise an image for the newest older
/// processor of the same architecture, such as `arm/v6` if `arm/v7` is missing. If no entry with a
/// platform fits, the configurations of the entries without a platform are read.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) with the available platforms;
/// [`TooLarge`](ErrorKind::TooLarge) if more than 1,000 nested manifests or 32 MiB would have to be
/// read; the errors of the source.
pub async fn select_image(
    source: &(impl Source + ?Sized),
    manifest: RawManifest,
    platform: &Platform,
) -> Result<RawManifest> {
    match manifest.parse()? {
        Manifest::Index(index) => {
            let image = nested::image_in(source, index, platform).await?;
            source.manifest(&image.digest.into()).await
        }
        Manifest::Image(image) if image.is_container_image() => {
            let image = Image::read(source, manifest).await?;
            check_platform(&image, platform)?;
            Ok(image.manifest().clone())
        }
        _ => Ok(manifest),
    }
}

/// Returns the image for a platform with its configuration, which is read only once. Without a
/// platform, a single image is returned for whatever platform it is, and an index is searched for
/// the platform of this machine.
///
/// # Errors
/// Same as [`select_image`] and [`Image::read`].
pub async fn read_image(
    source: &(impl Source + ?Sized),
    manifest: RawManifest,
    platform: Option<&Platform>,
) -> Result<Image> {
    if matches!(manifest.parse()?, Manifest::Index(_)) {
        let local = Platform::local();
        let manifest = select_image(source, manifest, platform.unwrap_or(&local)).await?;
        return Image::read(source, manifest).await;
    }
    let image = Image::read(source, manifest).await?;
    platform.map_or(Ok(()), |platform| check_platform(&image, platform))?;
    Ok(image)
}

fn check_platform(image: &Image, wanted: &Platform) -> Result<()> {
    let platform = image.platform();
    if platform.satisfies(wanted) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound)
        .at(format!("platform {wanted}"))
        .detail(format!("the image is for {platform}"))
        .with_data(AvailablePlatforms(vec![platform.clone()])))
}

/// Lists the images that a manifest offers, each with its platform. For an index, the list contains
/// its images and the images of nested indexes. For an image, the list contains only the image.
///
/// Each descriptor describes the stored manifest of an image. If an index does not state the
/// platform of an image, the configuration of the image is read. Attestations and artifacts are not
/// listed. An index that is listed several times is read only once.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if indexes are nested more than four levels deep;
/// [`TooLarge`](ErrorKind::TooLarge) if more than 1,000 nested manifests or 32 MiB would have to be
/// read; the errors of the source.
pub async fn list_images(
    source: &(impl Source + ?Sized),
    manifest: &RawManifest,
) -> Result<Vec<Descriptor>> {
    let mut listing =
        Listing { below: Below::new(source), images: Vec::new(), indexes: Vec::new() };
    listing.add(manifest.clone(), None).await?;
    for _ in 0..DEPTH {
        for index in std::mem::take(&mut listing.indexes) {
            listing.add_listed(&index).await?;
        }
    }
    match listing.indexes.first() {
        None => Ok(listing.images),
        Some(deepest) => Err(Error::new(ErrorKind::Invalid)
            .at(deepest.digest())
            .detail(format!("indexes are nested more than {DEPTH} levels deep"))),
    }
}

/// The images found so far, and the indexes still to be read.
struct Listing<'a, S: ?Sized> {
    below: Below<'a, S>,
    images: Vec<Descriptor>,
    indexes: Vec<RawManifest>,
}

impl<S: Source + ?Sized> Listing<'_, S> {
    /// Adds a manifest: as an image, or as an index to be read later.
    async fn add(&mut self, manifest: RawManifest, listed: Option<Descriptor>) -> Result<()> {
        let mut descriptor = listed.unwrap_or_else(|| manifest.descriptor().clone());
        let platform = match manifest.parse()? {
            Manifest::Index(_) => {
                self.indexes.push(manifest);
                return Ok(());
            }
            Manifest::Image(image) if image.is_container_image() => {
                let image = Image::read(self.below.source(), manifest).await?;
                // The other fields of the configuration do not belong to the platform.
                Platform { extra: Map::new(), ..image.platform().clone() }
            }
            Manifest::Schema1(schema1) => platform_of(schema1)?,
            _ => return Ok(()),
        };
        descriptor.platform = Some(platform);
        self.images.push(descriptor);
        Ok(())
    }

    /// Adds the entries of an index.
    async fn add_listed(&mut self, index: &RawManifest) -> Result<()> {
        let Manifest::Index(index) = index.parse()? else { return Ok(()) };
        for descriptor in &index.manifests {
            let is_index = descriptor.media_type.is_index();
            match &descriptor.platform {
                _ if is_attestation(descriptor) => {}
                Some(platform) if !is_index && platform.os == "unknown" => {}
                Some(_) if !is_index => self.images.push(descriptor.clone()),
                _ => {
                    if let Some(manifest) = self.below.manifest(descriptor).await? {
                        self.add(manifest, Some(descriptor.clone())).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns the platform of a schema 1 image. The operating system is that of the newest v1 image,
/// or Linux if the v1 image states none.
fn platform_of(schema1: &Schema1) -> Result<Platform> {
    let newest = schema1.ancestors()?.into_iter().next();
    let os = newest.and_then(|ancestor| ancestor.os).unwrap_or_else(|| "linux".to_owned());
    Ok(Platform::new(&os, &schema1.architecture, None))
}

/// Maximum nesting depth. Real indexes nest at most two levels deep.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MediaType;
    use crate::manifest::ImageConfig;
    use crate::memory::Memory;
    use crate::pack::Pack;
    use crate::store::{Target as _, TargetExt as _};

    async fn image(store: &Memory, platform: &str) -> Descriptor {
        let platform = Platform::parse(platform).unwrap();
        let mut config = ImageConfig { platform, ..ImageConfig::default() };
        config.platform.extra.insert("docker_version".to_owned(), "1.8".into());
        Pack::image(&config).unwrap().push(store, None).await.unwrap()
    }

    fn on(mut descriptor: Descriptor, platform: &str) -> Descriptor {
        descriptor.platform = Some(Platform::parse(platform).unwrap());
        descriptor
    }

    async fn listed(store: &Memory, of: &Descriptor) -> Vec<(String, Descriptor)> {
        let manifest = store.manifest(&of.digest.clone().into()).await.unwrap();
        let images = list_images(store, &manifest).await.unwrap();
        images.into_iter().map(|d| (d.platform.clone().unwrap().to_string(), d)).collect()
    }

    #[tokio::test]
    async fn the_list_for_a_single_image_contains_only_the_image() {
        let store = Memory::new();
        let only = image(&store, "linux/arm/v7").await;
        let found = listed(&store, &only).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), &found[0].1.digest), ("linux/arm/v7", &only.digest));
        assert!(
            found[0].1.platform.as_ref().unwrap().extra.is_empty(),
            "other fields of the config are omitted"
        );
    }

    #[tokio::test]
    async fn attestations_and_artifacts_in_an_index_are_not_listed_as_images() {
        let store = Memory::new();
        let amd = on(image(&store, "linux/amd64").await, "linux/amd64");
        let unspecified = image(&store, "windows/amd64").await;
        let deep = on(image(&store, "linux/s390x").await, "linux/s390x");
        let inner = Pack::index(vec![deep]).push(&store, None).await.unwrap();
        let artifact = Pack::artifact("a/b".parse().unwrap()).push(&store, None).await.unwrap();
        let unknown = on(artifact.clone(), "unknown/unknown");
        let mut marked = on(artifact.clone(), "linux/amd64");
        marked.annotations.insert("vnd.docker.reference.type", "attestation-manifest");
        let entries = vec![amd, unspecified, inner, artifact, unknown, marked];
        let index = Pack::index(entries).push(&store, None).await.unwrap();
        let platforms: Vec<String> =
            listed(&store, &index).await.into_iter().map(|(platform, _)| platform).collect();
        assert_eq!(platforms, ["linux/amd64", "windows/amd64", "linux/s390x"]);
    }

    #[tokio::test]
    async fn nested_indexes_are_limited_in_depth() {
        let store = Memory::new();
        let mut inner = image(&store, "linux/amd64").await;
        for _ in 0..DEPTH {
            inner = Pack::index(vec![inner]).push(&store, None).await.unwrap();
        }
        assert_eq!(listed(&store, &inner).await.len(), 1);
        let outer = Pack::index(vec![inner]).push(&store, None).await.unwrap();
        let manifest = store.manifest(&outer.digest.into()).await.unwrap();
        let e = list_images(&store, &manifest).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
    }

    /// Builds an index that is recognized only by its fields, and states no platforms.
    fn index_of(entries: &[&Descriptor]) -> RawManifest {
        let document = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
        let media_type = "application/vnd.example.list".parse().unwrap();
        RawManifest::from_document(&document, Some(media_type)).unwrap()
    }

    async fn push_index(store: &Memory, index: &RawManifest) -> Descriptor {
        store.push_manifest(index, None).await.unwrap();
        index.descriptor().clone()
    }

    #[tokio::test]
    async fn nested_indexes_of_an_unknown_type_are_limited_in_depth() {
        let store = Memory::new();
        let mut index = index_of(&[]);
        for _ in 0..20_000 {
            index = index_of(&[&push_index(&store, &index).await]);
        }
        let e = list_images(&store, &index).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn an_image_is_read_for_a_platform() {
        let store = Memory::new();
        let entries = vec![image(&store, "linux/amd64").await, image(&store, "linux/arm64").await];
        let index = Pack::index(entries).push(&store, None).await.unwrap();
        let single = image(&store, "linux/s390x").await;
        let read = async |root: &Descriptor, platform: Option<&str>| {
            let manifest = store.manifest(&root.digest.clone().into()).await.unwrap();
            let platform = platform.map(|text| Platform::parse(text).unwrap());
            let image = read_image(&store, manifest, platform.as_ref()).await?;
            Ok::<_, Error>(image.platform().to_string())
        };
        assert_eq!(read(&index, Some("linux/arm64")).await.unwrap(), "linux/arm64");
        assert_eq!(read(&single, None).await.unwrap(), "linux/s390x");
        let both = ["linux/amd64", "linux/arm64"];
        for (root, expected) in [(&single, &["linux/s390x"][..]), (&index, &both)] {
            let e = read(root, Some("windows/amd64")).await.unwrap_err();
            let AvailablePlatforms(platforms) = e.data().unwrap();
            let platforms: Vec<String> = platforms.iter().map(Platform::to_string).collect();
            assert_eq!(e.kind(), ErrorKind::NotFound);
            assert_eq!(platforms, expected);
        }
    }

    #[tokio::test]
    async fn blobs_listed_by_an_index_are_not_images() {
        let store = Memory::new();
        let mut entries = vec![image(&store, "linux/amd64").await];
        for media_type in ["application/vnd.oci.image.layer.v1.tar+gzip", "application/x"] {
            let content = format!("{{\"layers\":[\"{media_type}\"]}}");
            let blob = store.push_bytes(media_type.parse().unwrap(), content).await;
            entries.push(blob.unwrap());
        }
        // An entry with the media type of a layer, whose content is missing.
        entries.push(Descriptor::from_bytes(MediaType::DOCKER_LAYER_GZIP, b"missing"));
        let index = Pack::index(entries).push(&store, None).await.unwrap();
        assert_eq!(listed(&store, &index).await.len(), 1);
        let manifest = store.manifest(&index.digest.into()).await.unwrap();
        for (platform, expected) in [("amd64", Ok(())), ("s390x", Err(ErrorKind::NotFound))] {
            let platform = Platform::new("linux", platform, None);
            let found = select_image(&store, manifest.clone(), &platform).await;
            assert_eq!(found.map(drop).map_err(|e| e.kind()), expected, "{platform}");
        }
    }

    #[tokio::test]
    async fn an_index_that_is_listed_several_times_is_read_once() {
        let store = Memory::new();
        let image = on(image(&store, "linux/amd64").await, "linux/amd64");
        let inner = push_index(&store, &index_of(&[&image])).await;
        let middle = push_index(&store, &index_of(&[&inner, &inner, &inner])).await;
        let outer = push_index(&store, &index_of(&[&middle, &inner, &middle])).await;
        assert_eq!(listed(&store, &outer).await.len(), 1);
    }

    #[tokio::test]
    async fn too_many_indexes_are_refused() {
        let store = Memory::new();
        let mut entries = Vec::new();
        for at in 0..=nested::COUNT {
            let document = serde_json::json!({ "schemaVersion": 2, "manifests": [], "at": at });
            let index = RawManifest::from_document(&document, None).unwrap();
            entries.push(push_index(&store, &index).await);
        }
        let outer = index_of(&entries.iter().collect::<Vec<_>>());
        let amd = "linux/amd64".parse().unwrap();
        let e = list_images(&store, &outer).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        let e = select_image(&store, outer, &amd).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
    }
}
