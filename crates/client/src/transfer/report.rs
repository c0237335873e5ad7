//! Reports the results of transfers.

use std::fmt;

use longshore_core::{CopySummary, Error, ErrorKind, EscapedText};
use serde::{Serialize, Serializer};

use super::Transfer;
use crate::location::{ImageName, Location};

/// The images that transfers copied, and the failures.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TransferReport {
    /// The images that were copied.
    pub copies: Vec<Copied>,
    /// The images that were not copied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<CopyFailure>,
}

/// An image that was copied.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// The summary of the copy.
    #[serde(flatten)]
    pub summary: CopySummary,
    /// The image's name in the target layout, if that name is not a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The location of the image at the target.
    #[serde(serialize_with = "as_text")]
    pub target: Location,
}

/// An image that was not copied.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct CopyFailure {
    /// The location of the image, or of all images that were to be copied.
    #[serde(serialize_with = "as_text")]
    pub source: Location,
    /// The location to copy to.
    #[serde(serialize_with = "as_text")]
    pub target: Location,
    /// The tag or name of the image, if it was one of several.
    #[serde(flatten, serialize_with = "tag_or_name")]
    pub name: Option<ImageName>,
    /// The error. [`Canceled`](ErrorKind::Canceled) if the image was not tried, because other
    /// images had failed for a reason that affects every image.
    #[serde(serialize_with = "as_text")]
    pub error: Error,
}

impl TransferReport {
    pub(super) fn add(&mut self, copy: Result<Copied, CopyFailure>) {
        match copy {
            Ok(copied) => self.copies.push(copied),
            Err(failure) => self.failures.push(failure),
        }
    }
}

impl Copied {
    pub(super) fn new(target: &Location, summary: CopySummary) -> Self {
        let name = match (&summary.tag, target.name()) {
            (None, Some(ImageName::Entry(name))) => Some(name.clone()),
            _ => None,
        };
        let target = target.written_as(summary.tag.as_ref());
        Self { summary, name, target }
    }
}

impl CopyFailure {
    pub(super) fn new(transfer: &Transfer, name: Option<ImageName>, error: Error) -> Self {
        let (source, target) = (transfer.source.clone(), transfer.target.clone());
        Self { source, target, name, error }
    }

    /// Returns true if the image was tried.
    #[must_use]
    pub fn is_tried(&self) -> bool {
        self.error.kind() != ErrorKind::Canceled
    }

    /// Returns the text of the error without the image's name, which is printed before it.
    fn reason(&self) -> String {
        let image = match &self.name {
            Some(name) => format!("{}:{name}", self.source),
            None => self.source.to_string(),
        };
        let text = self.error.to_string();
        match self.error.thing() {
            Some(thing) if thing == image => {
                text.replacen(&format!(": {}", EscapedText(thing)), "", 1)
            }
            _ => text,
        }
    }
}

impl fmt::Display for CopyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(ImageName::Tag(tag)) => write!(f, "tag {tag} of ")?,
            Some(name) => write!(f, "{} of ", EscapedText(&name.to_string()))?,
            None => {}
        }
        write!(f, "{}: {}", EscapedText(&self.source.to_string()), self.reason())
    }
}

/// Writes a value as its text.
pub(super) fn as_text<T, S>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: fmt::Display,
    S: Serializer,
{
    serializer.collect_str(value)
}

/// Writes `"tag": …` or `"name": …`, or nothing without a name.
fn tag_or_name<S: Serializer>(name: &Option<ImageName>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(name.iter().map(|name| match name {
        ImageName::Tag(tag) => ("tag", tag.to_string()),
        name => ("name", name.to_string()),
    }))
}
