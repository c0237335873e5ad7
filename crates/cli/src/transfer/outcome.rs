//! What became of copies: told in lines or JSON, and in the exit code.

use std::fmt;

use longshore::{CopySummary, Digest, Error, ErrorKind, Printable, Result, Tag};
use serde::Serialize;

use crate::exit;
use crate::location::{Entry, Location};
use crate::message::say;
use crate::output::{Report, size};

/// What was copied, and what was not.
#[derive(Serialize)]
pub(super) struct Outcome {
    target: String,
    copies: Vec<Copied>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failure>,
}

/// One copy, and where it is now.
#[derive(Serialize)]
pub(super) struct Copied {
    #[serde(flatten)]
    copy: CopySummary,
    /// The name that it was copied under, if that is no tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    target: String,
}

impl Copied {
    pub(super) fn new(target: &Location, copy: CopySummary) -> Self {
        let target = match (&copy.tag, target.entry_name()) {
            (Some(tag), None) => target.with_tag(tag),
            _ => target.clone(),
        };
        Self { copy, name: None, target: target.to_string() }
    }

    /// The copy of an entry of a layout, under its very name.
    pub(super) fn named(target: &Location, name: String, mut copy: CopySummary) -> Self {
        let target = target.with_entry(Some(Entry::Named(name.clone()))).to_string();
        copy.tag = Tag::parse(&name).ok();
        let name = copy.tag.is_none().then_some(name);
        Self { copy, name, target }
    }

    /// What it is called at the target, if anything.
    fn name(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.copy.tag.as_ref().map(Tag::as_str))
    }
}

/// A copy that was not made.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    /// What was to be copied, or where it is among others.
    source: String,
    /// The tag there, or the name, if it is no tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(serialize_with = "as_text")]
    error: Error,
}

impl Failure {
    pub(super) fn new(source: &Location, name: Option<&str>, error: Error) -> Self {
        let tag = name.and_then(|name| Tag::parse(name).ok());
        let name = name.filter(|_| tag.is_none()).map(ToOwned::to_owned);
        Self { source: source.to_string(), tag, name, error }
    }

    /// What the error says, without what stands before it already.
    fn reason(&self) -> String {
        let whole = match self.tag.as_ref().map(Tag::as_str).or(self.name.as_deref()) {
            Some(name) => format!("{}:{name}", self.source),
            None => self.source.clone(),
        };
        let said = self.error.to_string();
        match self.error.thing() {
            Some(thing) if thing == whole => {
                said.replacen(&format!(": {}", Printable(thing)), "", 1)
            }
            _ => said,
        }
    }
}

fn as_text<S: serde::Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.tag, &self.name) {
            (Some(tag), _) => write!(f, "tag {tag} of ")?,
            (None, Some(name)) => write!(f, "{} of ", Printable(name))?,
            (None, None) => {}
        }
        write!(f, "{}: {}", Printable(&self.source), self.reason())
    }
}

impl Outcome {
    pub(super) fn new(target: String) -> Self {
        Self { target, copies: Vec::new(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, copy: Result<Copied, Failure>) {
        match copy {
            Ok(copy) => self.copies.push(copy),
            Err(failure) => self.failures.push(failure),
        }
    }

    /// Tells each failure in a line; of what was not tried, how much that is.
    pub(super) fn tell_failures(&self) {
        let is_tried = |failure: &&Failure| failure.error.kind() != ErrorKind::Canceled;
        let tried = self.failures.iter().filter(is_tried).count();
        for failure in self.failures.iter().filter(is_tried) {
            say(format_args!("longshore: {failure}"));
        }
        match self.failures.len() - tried {
            0 => {}
            left => say(format_args!("longshore: {left} more not tried, for the same reason")),
        }
    }

    /// Part of the work is not done; where none is, and for one kind of reason, that is the answer.
    pub(super) fn verdict(&self) -> Result<()> {
        let is_tried = |failure: &&Failure| failure.error.kind() != ErrorKind::Canceled;
        let mut codes = self.failures.iter().filter(is_tried).map(|f| exit::code(&f.error));
        match codes.next() {
            None => Ok(()),
            Some(code) if self.copies.is_empty() && codes.all(|c| c == code) => {
                Err(exit::told(code))
            }
            Some(_) => Err(exit::told(exit::NEGATIVE)),
        }
    }
}

impl Report for Outcome {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for copied in &self.copies {
            let Copied { copy, target, .. } = copied;
            let tally = &copy.tally;
            if let Some(name) = copied.name() {
                write!(to, "{} ", Printable(name))?;
            }
            write!(
                to,
                "{}  {} sent ({} blobs), {} mounted, {} already there",
                copy.root.digest,
                size(tally.bytes_sent),
                tally.blobs_sent,
                tally.blobs_mounted,
                tally.blobs_held,
            )?;
            if !copy.left_out.is_empty() {
                let digests: Vec<&str> = copy.left_out.iter().map(Digest::as_str).collect();
                write!(to, ", {} left out: {}", digests.len(), digests.join(" "))?;
            }
            writeln!(to, ", in {}", Printable(target))?;
        }
        Ok(())
    }
}
