//! Copies between locations.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use longshore::{
    Append, CopyObserver, CopyOptions, DockerArchive, Error, ErrorKind, Location, Place,
    ReferrerSelection, Result, TagGuard, Transfer, TransferReport,
};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::client::Client;
use crate::content::Meter;
use crate::failure::{invalid, raise};
use crate::operation::{Operation, document};

/// The options of a copy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    all_tags: bool,
    platforms: Vec<String>,
    referrers: bool,
    referrer_types: Vec<String>,
    nondistributable: bool,
    recheck: bool,
    if_absent: bool,
    if_digest: Option<String>,
    parallel: usize,
}

impl Options {
    fn copy_options(&self) -> Result<CopyOptions> {
        let mut options = CopyOptions::default();
        options.platforms =
            self.platforms.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        options.referrers = match (self.referrers, &self.referrer_types[..]) {
            (false, _) => ReferrerSelection::None,
            (true, []) => ReferrerSelection::All,
            (true, types) => ReferrerSelection::OfTypes(
                types.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            ),
        };
        options.nondistributable = self.nondistributable;
        options.recheck = self.recheck;
        options.guard = match (self.if_absent, &self.if_digest) {
            (true, _) => Some(TagGuard::Absent),
            (false, Some(digest)) => Some(TagGuard::PointsAt(digest.parse()?)),
            (false, None) => None,
        };
        options.parallel = NonZeroUsize::new(self.parallel).unwrap_or(NonZeroUsize::MIN);
        Ok(options)
    }
}

pub(crate) fn copy(
    client: &Client,
    source: &str,
    target: &str,
    options: Options,
    meter: Option<Meter>,
) -> PyResult<Operation> {
    let mut transfer = Transfer::new(location(client, source)?, location(client, target)?);
    transfer.options = options.copy_options().map_err(raise)?;
    transfer.all_tags = options.all_tags;
    let (stores, observer) = (client.stores()?, observer(meter));
    let copy = async move { complete(stores.transfer(&[transfer], observer).await?) };
    Operation::start(copy, document)
}

/// Copies the image in a file or folder, whose kind is determined by its content.
pub(crate) fn load(
    client: &Client,
    archive: PathBuf,
    target: &str,
    options: Options,
    meter: Option<Meter>,
) -> PyResult<Operation> {
    let target = location(client, target)?;
    let options = options.copy_options().map_err(raise)?;
    let (stores, observer) = (client.stores()?, observer(meter));
    let copy = async move {
        let metadata = std::fs::metadata(&archive).map_err(|e| Error::io(&archive, e))?;
        let place = if metadata.is_dir() {
            Place::Layout(archive)
        } else if DockerArchive::open(&archive).await.is_ok() {
            Place::DockerArchive(archive)
        } else {
            Place::OciArchive(archive)
        };
        let mut transfer = Transfer::new(Location::new(place), target);
        transfer.options = options;
        complete(stores.transfer(&[transfer], observer).await?)
    };
    Operation::start(copy, document)
}

/// Adds layers to an image.
pub(crate) fn append(
    client: &Client,
    source: &str,
    layers: Vec<PathBuf>,
    target: &str,
    created_by: Option<String>,
    comment: Option<String>,
) -> PyResult<Operation> {
    let (source, target) = (location(client, source)?, location(client, target)?);
    let tag = target.tag_or(&client.defaults.tag).map_err(invalid)?;
    let stores = client.stores()?;
    let append = async move {
        let mut append = Append::new();
        for layer in &layers {
            append = append.file(layer).await?;
        }
        if let Some(created_by) = created_by {
            append = append.created_by(&created_by);
        }
        if let Some(comment) = comment {
            append = append.comment(&comment);
        }
        let located = stores.locate(&source).await?;
        let store = stores.create(&target).await?;
        let appended =
            append.push(located.source, &located.selector, Arc::clone(&store), Some(&tag)).await?;
        store.finish().await?;
        Ok(appended.root)
    };
    Operation::start(append, document)
}

fn location(client: &Client, text: &str) -> PyResult<Location> {
    Location::parse_with(text, &client.defaults).map_err(invalid)
}

fn observer(meter: Option<Meter>) -> CopyObserver {
    match meter {
        Some(meter) => Arc::new(move |event| meter.add(event)),
        None => Arc::new(|_| {}),
    }
}

/// Returns the report of a copy without failures.
fn complete(mut report: TransferReport) -> Result<TransferReport> {
    let failures = report.failures.len();
    if report.failures.is_empty() {
        return Ok(report);
    }
    let first = report.failures.swap_remove(0);
    let kind = if failures == 1 { first.error.kind() } else { ErrorKind::Canceled };
    let total = failures + report.copies.len();
    Err(Error::new(kind)
        .detail(format!("{failures} of {total} images were not copied; the first is {first}")))
}
