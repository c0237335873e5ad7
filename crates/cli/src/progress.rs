//! Progress of a copy, on stderr: bars on a terminal, occasional lines otherwise, or JSON.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use longshore::{CopyEvent, CopyObserver, Descriptor, Digest, EscapedText, Progress};

use crate::message::{LiveBars, say};
use crate::output::size;

/// The progress style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bars on a terminal, lines otherwise.
    Auto,
    /// One JSON object per line for each event.
    Events,
    /// No output.
    Quiet,
}

/// Returns an observer for a copier that shows progress in `style`.
pub(crate) fn observer(style: Style) -> CopyObserver {
    match style {
        Style::Quiet => Arc::new(|_| {}),
        Style::Events => Arc::new(|event| {
            if let Ok(line) = serde_json::to_string(event) {
                say(EscapedText(&line).in_json());
            }
        }),
        Style::Auto if std::io::stderr().is_terminal() => {
            let bars = Bars { all: LiveBars::new(), blobs: Mutex::default() };
            Arc::new(move |event| bars.show(event))
        }
        Style::Auto => {
            let lines = Lines::default();
            Arc::new(move |event| lines.show(event))
        }
    }
}

/// Progress of a single blob, shown like a copy of one blob.
pub(crate) struct Single {
    observer: CopyObserver,
    blob: Descriptor,
}

impl Single {
    pub(crate) fn begin(style: Style, blob: Descriptor) -> Self {
        let observer = observer(style);
        observer(&CopyEvent::Found { blob: blob.clone() });
        Self { observer, blob }
    }

    /// Returns a listener for the blob's progress.
    pub(crate) fn listener(&self) -> impl Fn(Progress) + Send + Sync + 'static {
        let (observer, digest) = (Arc::clone(&self.observer), self.blob.digest.clone());
        move |progress| {
            let (digest, bytes, done) = (digest.clone(), progress.chunk, progress.done);
            observer(&CopyEvent::Progress { digest, bytes, done });
        }
    }

    pub(crate) fn done(self) {
        let Descriptor { digest, size, .. } = self.blob;
        (self.observer)(&CopyEvent::Sent { digest, size });
    }

    pub(crate) fn skipped(self) {
        let Descriptor { digest, size, .. } = self.blob;
        (self.observer)(&CopyEvent::Skipped { digest, size });
    }
}

/// Returns a listener for one blob of unknown size and digest, which is shown as `name`.
pub(crate) fn unsized_blob(
    style: Style,
    name: &'static str,
) -> Box<dyn FnMut(Progress) + Send + 'static> {
    match style {
        Style::Quiet => Box::new(|_| {}),
        Style::Events => Box::new(move |progress| {
            let (bytes, done) = (progress.chunk, progress.done);
            let event = serde_json::json!({
                "event": "progress", "name": name, "bytes": bytes, "done": done
            });
            say(event);
        }),
        Style::Auto if std::io::stderr().is_terminal() => {
            let template = "{prefix} {spinner} {binary_bytes:>11}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bars = LiveBars::new();
            let bar = bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(name));
            Box::new(move |progress| {
                let _live = &bars;
                bar.set_position(progress.done);
            })
        }
        Style::Auto => {
            let mut last = Instant::now();
            Box::new(move |progress| {
                if last.elapsed() >= PAUSE {
                    last = Instant::now();
                    say(format_args!("read {} of {name}", size(progress.done)));
                }
            })
        }
    }
}

/// One bar for each blob of a copy.
struct Bars {
    all: LiveBars,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn show(&self, event: &CopyEvent) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            CopyEvent::Found { blob } if !blobs.contains_key(&blob.digest) => {
                let bar = ProgressBar::new(blob.size).with_style(style());
                bar.set_prefix(blob.digest.short().to_owned());
                blobs.insert(blob.digest.clone(), self.all.add(bar));
            }
            CopyEvent::Progress { digest, done, .. } => {
                if let Some(bar) = blobs.get(digest) {
                    bar.set_position(*done);
                }
            }
            CopyEvent::Skipped { digest, .. } => finish(&blobs, digest, "already there"),
            CopyEvent::LeftOut { digest, .. } => finish(&blobs, digest, "left out"),
            CopyEvent::Mounted { digest, .. } => finish(&blobs, digest, "mounted"),
            CopyEvent::Sent { digest, .. } => finish(&blobs, digest, "done"),
            _ => {}
        }
    }
}

fn finish(blobs: &HashMap<Digest, ProgressBar>, digest: &Digest, word: &'static str) {
    if let Some(bar) = blobs.get(digest) {
        bar.set_message(word);
        if word == "done" { bar.finish() } else { bar.abandon() }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix} {bar:30} {binary_bytes:>11} / {binary_total_bytes:<11} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Prints a line every few seconds: the number of bytes transferred or skipped, and the total size
/// of the blobs found so far.
#[derive(Default)]
struct Lines(Mutex<Account>);

#[derive(Default)]
struct Account {
    /// The blobs in the total, each with the position that its transfer has reached. Several images
    /// may share a blob.
    blobs: HashMap<Digest, u64>,
    total: u64,
    settled: u64,
    last: Option<Instant>,
}

impl Lines {
    fn show(&self, event: &CopyEvent) {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            CopyEvent::Found { blob } if !account.blobs.contains_key(&blob.digest) => {
                account.blobs.insert(blob.digest.clone(), 0);
                account.total = account.total.saturating_add(blob.size);
            }
            CopyEvent::Progress { digest, done, .. } => {
                account.blobs.insert(digest.clone(), *done);
            }
            CopyEvent::Skipped { size, .. }
            | CopyEvent::LeftOut { size, .. }
            | CopyEvent::Mounted { size, .. } => {
                account.settled += size;
            }
            _ => {}
        }
        // The first line is printed after a pause, so short copies print nothing.
        let since = account.last.get_or_insert_with(Instant::now).elapsed();
        if since >= PAUSE {
            account.last = Some(Instant::now());
            let done = account.blobs.values().sum::<u64>() + account.settled;
            say(format_args!(
                "{} of {} in {} blobs",
                size(done.min(account.total)),
                size(account.total),
                account.blobs.len()
            ));
        }
    }
}

/// Five seconds, between two lines.
const PAUSE: Duration = Duration::from_secs(5);
