//! Progress of a copy, on stderr: bars on a terminal, occasional lines otherwise, or JSON.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use longshore::{CopyEvent, CopyObserver, Descriptor, Digest, EscapedText, Progress, Pushed};

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

/// Progress of a single blob whose digest is not known yet, shown with a name.
pub(crate) struct Named {
    style: Style,
    name: String,
    /// The bar, on a terminal.
    bar: Option<(LiveBars, ProgressBar)>,
}

impl Named {
    pub(crate) fn begin(style: Style, name: &str) -> Self {
        let is_live = style == Style::Auto && std::io::stderr().is_terminal();
        let bar = is_live.then(|| {
            let template = "{prefix} {spinner} {binary_bytes:>11}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let prefix = EscapedText(name).to_string();
            let bars = LiveBars::new();
            let bar = bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(prefix));
            (bars, bar)
        });
        Self { style, name: name.to_owned(), bar }
    }

    /// Returns a listener for the blob's progress.
    pub(crate) fn listener(&self) -> Box<dyn Fn(Progress) + Send + Sync + 'static> {
        let name = self.name.clone();
        match (self.style, &self.bar) {
            (Style::Quiet, _) => Box::new(|_| {}),
            (Style::Events, _) => Box::new(move |progress| {
                let (bytes, done) = (progress.chunk, progress.done);
                let event = serde_json::json!({
                    "event": "progress", "name": name, "bytes": bytes, "done": done
                });
                say(EscapedText(&event.to_string()).in_json());
            }),
            (Style::Auto, Some((_, bar))) => {
                let bar = bar.clone();
                Box::new(move |progress| bar.set_position(progress.done))
            }
            (Style::Auto, None) => {
                let last = Mutex::new(Instant::now());
                Box::new(move |progress| {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.elapsed() >= PAUSE {
                        *last = Instant::now();
                        say(format_args!("read {} of {}", size(progress.done), EscapedText(&name)));
                    }
                })
            }
        }
    }

    /// Reports the events of the blob, now that its digest is known.
    pub(crate) fn end(self, blob: &Descriptor, pushed: Pushed) {
        if self.style == Style::Events {
            let single = Single::begin(self.style, blob.clone());
            match pushed {
                Pushed::Existing => single.skipped(),
                _ => single.done(),
            }
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
