//! Shows the details of an image or artifact.

mod unpacked;

use std::fmt;

use clap::Args;
use longshore::{
    Annotations, CONFIG_LIMIT, Descriptor, EscapedText, Image, ImageConfig, Located, Location,
    Manifest, MediaType, Platform, RawManifest, Result, Schema1,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::{Report, size};
use unpacked::UnpackResult;

/// The arguments of `longshore inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore inspect nginx:1.27
  longshore inspect nginx:1.27 --platform linux/arm64 --json
  longshore inspect oci-archive:image.tar --unpacked

A manifest does not state unpacked sizes. --unpacked reads all layers to measure them, and checks \
the layers against the diff IDs in the image's config.")]
pub(crate) struct Arguments {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Select this platform of a multi-platform image [default: show the index].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Read the layers and show their unpacked sizes and digests. Without --platform, the image for
    /// this machine is selected.
    #[arg(long)]
    unpacked: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let manifest = match &arguments.platform {
        None if !arguments.unpacked => located.source.manifest(&located.selector).await?,
        platform => located.image(platform.as_ref()).await?,
    };
    let mut inspection = inspect(&located, &arguments.location, &manifest).await?;
    if arguments.unpacked {
        let image = Image::read(&*located.source, manifest).await?;
        let layers = unpacked::measure_all(context, &located, image.layers()).await?;
        inspection.unpacked_size = Some(unpacked::total(&layers));
        inspection.unpacked = layers;
    }
    context.output().report(&inspection)
}

/// The details of a manifest, and the config of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    name: String,
    digest: String,
    media_type: MediaType,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Descriptor>,
    /// Total size of the layers as stored, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers_size: Option<u64>,
    /// The unpacked layers, if they were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpacked: Vec<UnpackResult>,
    /// Total unpacked size in bytes, if all layers were read or are stored uncompressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unpacked_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ImageConfig>,
}

async fn inspect(
    located: &Located,
    location: &Location,
    manifest: &RawManifest,
) -> Result<Inspection> {
    let parsed = manifest.parse()?;
    let mut inspection = Inspection {
        name: location.to_string(),
        digest: manifest.digest().to_string(),
        media_type: manifest.media_type().clone(),
        size: manifest.descriptor().size,
        artifact_type: parsed.artifact_type().cloned(),
        subject: parsed.subject().cloned(),
        annotations: parsed.annotations().cloned().unwrap_or_default(),
        manifests: Vec::new(),
        layers: Vec::new(),
        layers_size: None,
        unpacked: Vec::new(),
        unpacked_size: None,
        config: None,
    };
    match parsed {
        Manifest::Image(image) => {
            if image.is_container_image() {
                let bytes = located.source.blob(&image.config).await?.bytes(CONFIG_LIMIT).await?;
                inspection.config = ImageConfig::parse(&bytes).ok();
                inspection.unpacked_size = plain_size(&image.layers);
                inspection.artifact_type = None;
            }
            let sizes = image.layers.iter().map(|layer| layer.size);
            inspection.layers_size = Some(sizes.fold(0, u64::saturating_add));
            inspection.layers = image.layers.clone();
        }
        Manifest::Index(index) => inspection.manifests = index.manifests.clone(),
        Manifest::Artifact(artifact) => inspection.layers = artifact.blobs.clone(),
        Manifest::Schema1(schema1) => {
            inspection.config = schema1.config();
            inspection.layers = schema1_layers(located, schema1).await?;
        }
        _ => {}
    }
    Ok(inspection)
}

/// Returns the total unpacked size if all layers are uncompressed.
fn plain_size(layers: &[Descriptor]) -> Option<u64> {
    let mut sizes =
        layers.iter().map(|layer| layer.media_type.is_plain_layer().then_some(layer.size));
    sizes.try_fold(0_u64, |sum, size| sum.checked_add(size?))
}

/// Returns the layers, lowest first. Schema 1 has no sizes, so the store is queried for each size.
async fn schema1_layers(located: &Located, schema1: &Schema1) -> Result<Vec<Descriptor>> {
    let mut layers = Vec::new();
    for layer in schema1.fs_layers.iter().rev() {
        let size = located.source.blob_size(&layer.blob_sum).await?;
        let (digest, size) = (layer.blob_sum.clone(), size.unwrap_or_default());
        layers.push(Descriptor::new(MediaType::DOCKER_LAYER_GZIP, digest, size));
    }
    Ok(layers)
}

impl Report for Inspection {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "Name:       {}", EscapedText(&self.name))?;
        writeln!(to, "Digest:     {}", self.digest)?;
        writeln!(to, "MediaType:  {}", self.media_type)?;
        if let Some(artifact_type) = &self.artifact_type {
            writeln!(to, "Artifact:   {artifact_type}")?;
        }
        if let Some(subject) = &self.subject {
            writeln!(to, "Subject:    {}", subject.digest)?;
        }
        if let Some(config) = &self.config {
            config_text(config, to)?;
        }
        list(to, "Manifests", &self.manifests)?;
        list(to, "Layers", &self.layers)?;
        if let Some(unpacked) = self.unpacked_size {
            writeln!(to, "Unpacked:   {}", size(unpacked))?;
        }
        for layer in &self.unpacked {
            writeln!(to, "  {layer}")?;
        }
        if !self.annotations.is_empty() {
            writeln!(to, "Annotations:")?;
        }
        for (key, value) in &self.annotations.0 {
            writeln!(to, "  {}: {}", EscapedText(key), EscapedText(value).at_most(200))?;
        }
        Ok(())
    }
}

fn config_text(config: &ImageConfig, to: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(to, "Platform:   {}", EscapedText(&config.platform.to_string()))?;
    if let Some(created) = &config.created {
        writeln!(to, "Created:    {}", EscapedText(created))?;
    }
    let Some(run) = &config.config else { return Ok(()) };
    for (name, words) in [("Entrypoint:", &run.entrypoint), ("Command:", &run.cmd)] {
        if !words.is_empty() {
            writeln!(to, "{name:<12}{}", EscapedText(&words.join(" ")).at_most(200))?;
        }
    }
    for (key, value) in &run.labels.0 {
        writeln!(to, "Label:      {}={}", EscapedText(key), EscapedText(value).at_most(200))?;
    }
    Ok(())
}

fn list(to: &mut dyn fmt::Write, title: &str, descriptors: &[Descriptor]) -> fmt::Result {
    if descriptors.is_empty() {
        return Ok(());
    }
    let total = descriptors.iter().fold(0_u64, |sum, d| sum.saturating_add(d.size));
    let heading = format!("{title}:");
    writeln!(to, "{heading:<12}{}, {} in total", descriptors.len(), size(total))?;
    for d in descriptors {
        let what = match (&d.platform, d.annotations.get(Annotations::TITLE)) {
            (Some(platform), _) => platform.to_string(),
            (None, Some(title)) => title.to_owned(),
            (None, None) => d.media_type.to_string(),
        };
        writeln!(to, "  {}  {:>10}  {}", d.digest, size(d.size), EscapedText(&what))?;
    }
    Ok(())
}
