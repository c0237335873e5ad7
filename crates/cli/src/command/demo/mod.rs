mod image;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Parser as _};
use longshore::{
    Digest, Error, ErrorKind, Layout, Result, Source, Tag, TagOrDigest, graph::Successors,
};
use longshore_registry::Registry;

use crate::arguments;
use crate::context::Context;
use crate::defaults;
use crate::output::{line, size};

/// The arguments of `longshore demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore demo

The demo starts a registry on a free loopback port, with its content in a temporary folder. It \
packs an image of local files, and runs push, catalog, tag, ls, inspect, copy, pull and untag. \
Each command is printed before it runs. Nothing outside the temporary folder is changed.")]
pub(crate) struct Arguments {}

pub(crate) async fn run(context: &Context, _: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::io(&std::env::temp_dir(), e))?;
    let (registry, server) = start(folder.path()).await?;
    let result = walk(context, folder.path(), &registry).await;
    server.abort();
    result?;
    line(NEXT)
}

/// Starts a registry in this folder, and returns its address and its task.
async fn start(folder: &Path) -> Result<(String, tokio::task::JoinHandle<()>)> {
    let root = folder.join("registry");
    step(&format!("longshore serve --listen 127.0.0.1:0 --root {}", root.display()))?;
    let registry = Registry::builder().disk(root).build()?;
    let at = |e| Error::new(ErrorKind::Io).at("127.0.0.1:0").with_source(e);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(at)?;
    let address = listener.local_addr().map_err(at)?.to_string();
    line(format_args!("listening on {address}"))?;
    let server = tokio::spawn(async move {
        let for_ever = std::future::pending();
        if let Err(e) = longshore_registry::serve(listener, registry, for_ever).await {
            crate::message::error(&e, false);
        }
    });
    Ok((address, server))
}

async fn walk(context: &Context, folder: &Path, registry: &str) -> Result<()> {
    let packed = folder.join("packed");
    line("\n# packing local files: two platforms, three layers each")?;
    let expected = image::pack(&packed).await?;
    line(&expected)?;

    let packed = format!("oci:{}:v1", packed.display());
    let app = format!("{registry}/demo/app");
    let copy = format!("{registry}/demo/copy");
    let pulled = folder.join("pulled");
    command(context, &["push", &packed, &format!("{app}:v1")]).await?;
    command(context, &["catalog", registry]).await?;
    command(context, &["tag", &format!("{app}:v1"), "latest"]).await?;
    command(context, &["ls", &app]).await?;
    command(context, &["inspect", &format!("{app}:v1")]).await?;
    same(context, &format!("{app}:latest"), &expected).await?;
    command(context, &["copy", &format!("{app}:v1"), &format!("{copy}:v1")]).await?;
    same(context, &format!("{copy}:v1"), &expected).await?;
    let target = format!("oci:{}:v1", pulled.display());
    command(context, &["pull", &format!("{copy}:v1"), &target]).await?;
    verify(&pulled, &expected).await?;
    command(context, &["untag", &format!("{app}:latest")]).await?;
    command(context, &["ls", &app]).await?;
    same(context, &format!("{app}:v1"), &expected).await
}

/// Runs a command as if the user had typed it.
async fn command(context: &Context, words: &[&str]) -> Result<()> {
    step(&format!("longshore {}", words.join(" ")))?;
    let typed = ["longshore"].iter().chain(words);
    let parsed = arguments::Arguments::try_parse_from(typed)
        .map_err(|e| Error::new(ErrorKind::Invalid).at(words.join(" ")).with_source(e))?;
    Box::pin(crate::dispatch::run(context, parsed.command)).await
}

fn step(command: &str) -> Result<()> {
    line(format_args!("\n$ {command}"))
}

/// Checks that a reference resolves to this digest.
async fn same(context: &Context, reference: &str, expected: &Digest) -> Result<()> {
    let located = context.stores().locate(&defaults::location(reference)?).await?;
    let found = located.source.resolve(&located.selector).await?.digest;
    expected.check(&found).map_err(|e| e.at(reference))
}

/// Reads a whole layout and verifies every digest.
async fn verify(path: &Path, expected: &Digest) -> Result<()> {
    line(format_args!("\n# verifying every blob of {}", path.display()))?;
    let layout: Arc<dyn Source> = Arc::new(Layout::open(path).await?);
    let tag: TagOrDigest = Tag::parse("v1")?.into();
    let root = layout.manifest(&tag).await?;
    expected.check(root.digest()).map_err(|e| e.at("the pulled image"))?;
    let (mut blobs, mut bytes, mut waiting) = (HashSet::new(), 0_u64, vec![root]);
    while let Some(manifest) = waiting.pop() {
        let below = Successors::of(&manifest)?;
        for blob in below.blobs {
            if blobs.insert(blob.digest.clone()) {
                bytes += layout.blob(&blob).await?.bytes(image::LIMIT).await?.len() as u64;
            }
        }
        for child in below.manifests {
            waiting.push(layout.manifest(&child.digest.into()).await?);
        }
    }
    let count = blobs.len();
    line(format_args!("{count} blobs, {}: all match their digests", size(bytes)))
}

const NEXT: &str = "
All copies have the same digest. Next, try:
  longshore serve --root ./registry           run a permanent registry
  longshore copy nginx localhost:5000/nginx   copy an image into the registry
  longshore --help                            list all commands";
