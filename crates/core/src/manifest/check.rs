//! Strict checks of a manifest. Other operations accept fields and types that are unknown to
//! longshore.

use super::{ImageManifest, Index, Manifest, RawManifest, Schema1};
use crate::media_type::MediaType;

impl RawManifest {
    /// Checks the document against its specification, and returns each violation as one clause.
    ///
    /// If a document that violates these rules can be parsed, it can still be copied and pushed.
    /// Only an ambiguous document is refused when it is created or accepted
    /// ([`check_unambiguous`](Self::check_unambiguous)). An OCI manifest is an artifact if its
    /// config is not an image config. The layers of an artifact may have any type.
    ///
    /// Source: image-spec v1.1.1, "Image Manifest" and "Image Index"; Docker image manifest version
    /// 2, schema 1 and schema 2.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let parsed = match self.parse() {
            Ok(parsed) => parsed,
            Err(e) => return vec![e.to_string()],
        };
        let mut found = Vec::new();
        found.extend(self.check_keys().err().map(|e| e.to_string()));
        match &parsed {
            Manifest::Image(image) if *self.media_type() == MediaType::DOCKER_MANIFEST => {
                docker_image(image, &mut found);
            }
            Manifest::Image(image) => oci_image(image, &mut found),
            Manifest::Index(index) => self.index(index, &mut found),
            Manifest::Schema1(manifest) => schema1(manifest, &mut found),
            Manifest::Artifact(_) | Manifest::Opaque => {}
        }
        found
    }

    fn index(&self, index: &Index, found: &mut Vec<String>) {
        version(index.schema_version, found);
        if *self.media_type() != MediaType::DOCKER_LIST {
            return;
        }
        stated(index.media_type.as_ref(), found);
        for (at, entry) in index.manifests.iter().enumerate() {
            if entry.platform.is_none() {
                found.push(format!("manifests[{at}] has no platform"));
            }
        }
    }
}

fn docker_image(image: &ImageManifest, found: &mut Vec<String>) {
    version(image.schema_version, found);
    stated(image.media_type.as_ref(), found);
    let config = &image.config.media_type;
    if ![MediaType::DOCKER_CONFIG, MediaType::DOCKER_PLUGIN].contains(config) {
        found.push(format!("the config is {config}, not {}", MediaType::DOCKER_CONFIG));
    }
    layers(image, &[MediaType::DOCKER_LAYER_GZIP, MediaType::DOCKER_FOREIGN_LAYER_GZIP], found);
}

fn oci_image(image: &ImageManifest, found: &mut Vec<String>) {
    version(image.schema_version, found);
    let config = &image.config.media_type;
    if *config == MediaType::OCI_CONFIG {
        layers(image, &OCI_LAYERS, found);
    } else if *config == MediaType::DOCKER_CONFIG {
        found.push(format!("the config is {config}, not {}", MediaType::OCI_CONFIG));
    } else if *config == MediaType::OCI_EMPTY && image.artifact_type.is_none() {
        found.push("the config is empty, and artifactType is missing".to_owned());
    }
}

fn schema1(manifest: &Schema1, found: &mut Vec<String>) {
    if manifest.schema_version != 1 {
        found.push(format!("schemaVersion is {}, not 1", manifest.schema_version));
    }
    let (layers, history) = (manifest.fs_layers.len(), manifest.history.len());
    if layers != history {
        found.push(format!("{layers} fsLayers do not match {history} history entries"));
    }
}

fn version(version: u64, found: &mut Vec<String>) {
    if version != 2 {
        found.push(format!("schemaVersion is {version}, not 2"));
    }
}

fn stated(media_type: Option<&MediaType>, found: &mut Vec<String>) {
    if media_type.is_none() {
        found.push("mediaType is missing".to_owned());
    }
}

fn layers(image: &ImageManifest, allowed: &[MediaType], found: &mut Vec<String>) {
    for (at, layer) in image.layers.iter().enumerate() {
        if !allowed.contains(&layer.media_type) {
            found.push(format!(
                "layers[{at}] is {}, which is not a layer type of this format",
                layer.media_type
            ));
        }
    }
}

const OCI_LAYERS: [MediaType; 6] = [
    MediaType::OCI_LAYER,
    MediaType::OCI_LAYER_GZIP,
    MediaType::OCI_LAYER_ZSTD,
    MediaType::OCI_NONDISTRIBUTABLE_LAYER,
    MediaType::OCI_NONDISTRIBUTABLE_LAYER_GZIP,
    MediaType::OCI_NONDISTRIBUTABLE_LAYER_ZSTD,
];
