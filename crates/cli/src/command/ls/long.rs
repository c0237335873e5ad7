//! The details of listed images: `ls --long`.

use std::collections::HashMap;
use std::fmt;

use futures_util::StreamExt as _;
use futures_util::future::ready;
use longshore::{
    Annotations, Digest, Error, Image, Located, Location, Manifest, MediaType, Platform,
    RawManifest, Result, Source, list_files,
};
use serde::Serialize;

use crate::context::Context;
use crate::message::warn;
use crate::output::{Report, size};
use crate::progress::in_parallel;
use crate::table::{self, Column};
use crate::{exit, version_order};

use super::Sort;

/// The images with their details.
#[derive(Serialize)]
pub(super) struct Answer {
    tags: Vec<Row>,
    /// False if an image could not be read.
    #[serde(skip)]
    is_complete: bool,
}

#[derive(Serialize)]
struct Row {
    tag: String,
    digest: Digest,
    media_type: MediaType,
    #[serde(flatten)]
    details: Details,
}

/// What a manifest states about its content. For an index, size and creation time are those of the
/// image for this machine, or else of the first image.
#[derive(Clone, Default, Serialize)]
struct Details {
    /// Total size of the layers or files in bytes.
    size: Option<u64>,
    created: Option<String>,
    platforms: Vec<String>,
}

/// An image whose manifest was read.
struct Read {
    tag: String,
    located: Located,
    manifest: RawManifest,
}

impl Answer {
    /// Reads the images with these names. An image that cannot be read is reported and left out.
    pub(super) async fn read(context: &Context, names: Vec<(String, Location)>) -> Self {
        let reads = names.into_iter().map(async |(tag, location)| {
            let located = context.stores().locate(&location).await?;
            let manifest = located.source.manifest(&located.selector).await?;
            Ok::<_, Error>(Read { tag, located, manifest })
        });
        let (mut read, mut is_complete) = (Vec::new(), true);
        let mut results = in_parallel(context.style(), "tags", reads);
        while let Some(result) = results.next().await {
            match result {
                Ok(one) => read.push(one),
                Err(e) => {
                    warn(e);
                    is_complete = false;
                }
            }
        }
        drop(results);
        let details = details(context, &read).await;
        let rows = read.into_iter().map(|Read { tag, manifest, .. }| {
            let details = details.get(manifest.digest()).cloned();
            is_complete &= details.is_some();
            Row {
                tag,
                digest: manifest.digest().clone(),
                media_type: manifest.media_type().clone(),
                details: details.unwrap_or_default(),
            }
        });
        Self { tags: rows.collect(), is_complete }
    }

    /// Sorts the images. Without an order, versions are sorted in their natural order, and other
    /// tags keep the order of the registry.
    pub(super) fn sort(&mut self, order: Option<Sort>) {
        let tags = &mut self.tags;
        match order {
            Some(Sort::Name) => tags.sort_by(|a, b| a.tag.cmp(&b.tag)),
            // Times in RFC 3339 are ordered like their text, apart from rare time zones.
            Some(Sort::Created) => tags.sort_by(|a, b| a.details.created.cmp(&b.details.created)),
            Some(Sort::Version) => tags.sort_by(|a, b| version_order::compare(&a.tag, &b.tag)),
            None if tags.iter().all(|row| version_order::is_version(&row.tag)) => {
                self.sort(Some(Sort::Version));
            }
            None => {}
        }
    }

    /// Returns the tags without their details.
    pub(super) fn tags(&self) -> impl Iterator<Item = String> {
        self.tags.iter().map(|row| row.tag.clone())
    }

    /// Returns an error if an image could not be read.
    pub(super) fn verdict(&self) -> Result<()> {
        match self.is_complete {
            true => Ok(()),
            false => Err(exit::printed(exit::NEGATIVE)),
        }
    }
}

/// Reads the details of each manifest once, although several tags may point at it. Reports the
/// details that cannot be read, and leaves them out.
async fn details(context: &Context, read: &[Read]) -> HashMap<Digest, Details> {
    let manifests: HashMap<&Digest, &Read> =
        read.iter().map(|read| (read.manifest.digest(), read)).collect();
    let details = manifests.into_iter().map(async |(digest, read)| {
        let details = Details::read(&*read.located.source, &read.manifest).await;
        Some((digest.clone(), details.inspect_err(|e| warn(e)).ok()?))
    });
    in_parallel(context.style(), "images", details).filter_map(ready).collect().await
}

impl Details {
    async fn read(source: &dyn Source, manifest: &RawManifest) -> Result<Self> {
        Ok(match manifest.parse()? {
            Manifest::Index(index) => {
                let platforms = index.platforms().filter(|platform| platform.os != "unknown");
                let platforms = platforms.map(ToString::to_string).collect();
                let local = index.for_platform(&Platform::local()).ok();
                let first = || index.manifests.iter().find(|entry| entry.platform.is_some());
                let Some(image) = local.or_else(first) else {
                    return Ok(Self { platforms, ..Self::default() });
                };
                let manifest = source.manifest(&image.digest.clone().into()).await?;
                Self { platforms, ..Self::of_image(source, manifest).await? }
            }
            Manifest::Image(image) if image.is_container_image() => {
                Self::of_image(source, manifest.clone()).await?
            }
            parsed => {
                // Schema 1 states no sizes, and other kinds have no files.
                let files = list_files(manifest).unwrap_or_default();
                let size = files.iter().map(|file| file.size).reduce(u64::saturating_add);
                let annotations = parsed.annotations();
                let created = annotations.and_then(|all| all.get(Annotations::CREATED));
                let created = created.map(str::to_owned);
                Self { size: size.filter(|size| *size > 0), created, platforms: Vec::new() }
            }
        })
    }

    async fn of_image(source: &dyn Source, manifest: RawManifest) -> Result<Self> {
        let image = Image::read(source, manifest).await?;
        Ok(Self {
            size: Some(image.size()),
            created: image.config().created.clone(),
            platforms: vec![image.platform().to_string()],
        })
    }
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let rows = self.tags.iter().map(|row| {
            let Details { size: bytes, created, platforms } = &row.details;
            let created = created.as_deref().map_or("-", |text| text.get(..19).unwrap_or(text));
            vec![
                row.tag.clone(),
                row.digest.short().to_owned(),
                bytes.map_or_else(|| "-".to_owned(), size),
                created.replace('T', " "),
                platforms.join(" "),
            ]
        });
        table::write(to, &COLUMNS, &rows.collect::<Vec<_>>())
    }
}

const COLUMNS: [Column; 5] = [
    Column::left("tag"),
    Column::left("digest"),
    Column::right("size"),
    Column::left("created"),
    Column::left("platforms"),
];
