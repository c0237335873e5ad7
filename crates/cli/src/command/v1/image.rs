//! Reads and uploads single images of a v1 registry.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use longshore::{Body, Digest, Error, MANIFEST_LIMIT, Result, blob_file};
use longshore_legacy::v1::{Access, Image, ImageId};

use super::place::{Asking, Place};
use crate::context::Context;
use crate::message;
use crate::output;

/// An image, selected by tag or id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore v1 ancestry old.example:5000/busybox:latest
  longshore v1 ancestry old.example:5000 --id 9e89cc6f…")]
pub(crate) struct Chosen {
    /// The repository and tag; with --id, the registry is sufficient.
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// The image's id, instead of a tag.
    #[arg(long)]
    id: Option<ImageId>,
    #[command(flatten)]
    asking: Asking,
}

impl Chosen {
    async fn image(&self, context: &Context) -> Result<Image> {
        self.place.image(context, &self.asking, Access::Read, self.id.as_ref()).await
    }
}

/// The arguments of `longshore v1 json`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore v1 json old.example:5000/busybox:latest
  longshore v1 json old.example:5000/busybox --field created")]
pub(crate) struct Json {
    #[command(flatten)]
    chosen: Chosen,
    /// Print only this field: a path (.config.Env[0]) or a JSON Pointer (/config/Env/0).
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
}

/// The arguments of `longshore v1 layer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore v1 layer old.example:5000/busybox:latest -o layer.tar.gz
  longshore v1 layer old.example:5000 --id 9e89cc6f… | tar tz")]
pub(crate) struct Layer {
    #[command(flatten)]
    chosen: Chosen,
    /// File to write, which appears only when it is complete.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The target of an upload.
#[derive(Debug, Args)]
pub(super) struct Upload {
    /// The registry; with --index, the repository.
    #[arg(value_name = "REGISTRY[/REPOSITORY]")]
    place: Place,
    /// The image's id, as in its JSON.
    id: ImageId,
    #[command(flatten)]
    asking: Asking,
}

impl Upload {
    async fn image(&self, context: &Context) -> Result<Image> {
        self.place.image(context, &self.asking, Access::Write, Some(&self.id)).await
    }
}

/// The arguments of `longshore v1 push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore v1 push old.example:5000 9e89cc6f… image.json layer.tar.gz
  longshore v1 tag old.example:5000/busybox:v2 9e89cc6f…")]
pub(crate) struct Push {
    #[command(flatten)]
    upload: Upload,
    /// The file with the image's JSON.
    json_file: PathBuf,
    /// The file with the layer.
    layer_file: PathBuf,
}

/// The arguments of `longshore v1 push-json`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore v1 push-json old.example:5000 9e89cc6f… image.json")]
pub(crate) struct PushJson {
    #[command(flatten)]
    upload: Upload,
    /// The file with the image's JSON.
    json_file: PathBuf,
}

/// The arguments of `longshore v1 push-layer`.
#[derive(Debug, Args)]
#[command(after_help = "\
To complete an upload, pass --image-json: the command then sends the checksum of the JSON and the \
layer.

Example:
  longshore v1 push-layer old.example:5000 9e89cc6f… layer.tar.gz --image-json image.json")]
pub(crate) struct PushLayer {
    #[command(flatten)]
    upload: Upload,
    /// The file with the layer.
    layer_file: PathBuf,
    /// File with the image's JSON; the command then sends the checksum.
    #[arg(long, value_name = "FILE")]
    image_json: Option<PathBuf>,
}

pub(super) async fn json(context: &Context, json: &Json) -> Result<()> {
    let image = json.chosen.image(context).await?;
    match &json.field {
        None => output::bytes(&image.json().await?.bytes),
        Some(field) => context.output().field(&image.json().await?.bytes, field),
    }
}

pub(super) async fn ancestry(context: &Context, chosen: &Chosen) -> Result<()> {
    let ids = chosen.image(context).await?.ancestry().await?;
    context.output().list("ancestry", futures_util::stream::iter(ids.into_iter().map(Ok))).await
}

pub(super) async fn layer(context: &Context, layer: &Layer) -> Result<()> {
    let image = layer.chosen.image(context).await?;
    let json = image.json().await?;
    let to = layer.output.as_deref();
    match image.layer().await?.checked(&json) {
        Ok(checked) => output::blob(checked, to).await,
        Err(layer) => {
            message::warn("the registry states no checksum: the layer is not verified");
            output::blob(layer.into_stream(), to).await
        }
    }
}

pub(super) async fn push(context: &Context, push: Push) -> Result<()> {
    let json = read(push.json_file).await?;
    let layer = body(&push.layer_file).await?;
    let image = push.upload.image(context).await?;
    let checksum = image.push(json, layer).await?;
    uploaded(context, &image, Some(&checksum))
}

pub(super) async fn push_json(context: &Context, push: PushJson) -> Result<()> {
    let json = read(push.json_file).await?;
    let image = push.upload.image(context).await?;
    image.push_json(json).await?;
    uploaded(context, &image, None)
}

pub(super) async fn push_layer(context: &Context, push: PushLayer) -> Result<()> {
    let layer = body(&push.layer_file).await?;
    let image = push.upload.image(context).await?;
    let Some(json) = push.image_json else {
        image.push_layer(layer).await?;
        return uploaded(context, &image, None);
    };
    let checksum = image.complete(&read(json).await?, layer).await?;
    uploaded(context, &image, Some(&checksum))
}

fn uploaded(context: &Context, image: &Image, checksum: Option<&Digest>) -> Result<()> {
    let change = serde_json::json!({ "id": image.id(), "checksum": checksum });
    let message = match checksum {
        Some(checksum) => format!("uploaded {} ({checksum})", image.id()),
        None => format!("uploaded part of {}", image.id()),
    };
    context.output().changed(message, &change)
}

async fn read(path: PathBuf) -> Result<Bytes> {
    longshore::run_blocking(move || blob_file::read(&path, MANIFEST_LIMIT)).await
}

async fn body(path: &Path) -> Result<Body> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    Ok(Body::Stream { stream: blob_file::stream(path, 0).await?, size: Some(size) })
}
