//! Choosing an image by platform.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{CONFIG_LIMIT, ImageConfig, Manifest, RawManifest};
use crate::media_type::MediaType;
use crate::nested;
use crate::platform::Platform;
use crate::store::Source;

/// The image for a platform: of an index, the one that it lists for it; an image itself, if its
/// configuration says that it is for it. What is no image is for every platform.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) with the platforms that there are; the source's error.
pub async fn image_for(
    source: &dyn Source,
    manifest: RawManifest,
    platform: &Platform,
) -> Result<RawManifest> {
    match manifest.parse()? {
        Manifest::Index(index) => {
            let image = nested::image_in(source, index, platform).await?;
            source.manifest(&image.digest.into()).await
        }
        Manifest::Image(image) if is_image_config(&image.config.media_type) => {
            let bytes = source.blob(&image.config).await?.bytes(CONFIG_LIMIT).await?;
            let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|e| {
                Error::new(ErrorKind::Invalid)
                    .at(&image.config.digest)
                    .detail(format!("not an image's configuration: {e}"))
            })?;
            if config.platform.satisfies(platform) {
                return Ok(manifest);
            }
            Err(Error::new(ErrorKind::NotFound)
                .at(format!("platform {platform}"))
                .detail(format!("the image is for {}", config.platform)))
        }
        _ => Ok(manifest),
    }
}

fn is_image_config(media_type: &MediaType) -> bool {
    *media_type == MediaType::OCI_CONFIG || *media_type == MediaType::DOCKER_CONFIG
}
