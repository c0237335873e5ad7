//! Progress of a copy, on stderr: bars on a terminal, occasional lines otherwise, or JSON.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _, stream};
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
            let bars = Bars::new();
            Arc::new(move |event| bars.show(event))
        }
        Style::Auto => {
            let lines = Lines::new();
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
    pub(crate) fn begin(kind: Style, name: &str) -> Self {
        let is_live = kind == Style::Auto && std::io::stderr().is_terminal();
        let bar = is_live.then(|| {
            let style = style("{prefix} {spinner} {binary_bytes:>11}");
            let prefix = EscapedText(name).to_string();
            let bars = LiveBars::new();
            let bar = bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(prefix));
            (bars, bar)
        });
        Self { style: kind, name: name.to_owned(), bar }
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

/// Runs futures, several at a time, and shows how many have ended. Their results are in order.
///
/// - `what`: what the futures read, such as `tags`.
pub(crate) fn in_parallel<F: Future>(
    style: Style,
    what: &'static str,
    work: impl ExactSizeIterator<Item = F>,
) -> impl Stream<Item = F::Output> {
    let mut counter = Counter::begin(style, what, work.len());
    stream::iter(work).buffered(PARALLEL).inspect(move |_| counter.add_one())
}

/// Progress of reading a number of things, which is shown while this value exists.
struct Counter {
    what: &'static str,
    count: usize,
    done: usize,
    /// The bar, on a terminal.
    bar: Option<(LiveBars, ProgressBar)>,
    last: Instant,
    is_shown: bool,
}

impl Counter {
    fn begin(kind: Style, what: &'static str, count: usize) -> Self {
        let is_live = kind == Style::Auto && std::io::stderr().is_terminal();
        let bar = is_live.then(|| {
            let style = style("{bar:30} {pos} of {len} {prefix}");
            let bars = LiveBars::new();
            let bar = ProgressBar::new(count as u64).with_style(style).with_prefix(what);
            let bar = bars.add(bar);
            (bars, bar)
        });
        Self { what, count, done: 0, bar, last: Instant::now(), is_shown: kind == Style::Auto }
    }

    fn add_one(&mut self) {
        self.done += 1;
        if let Some((_, bar)) = &self.bar {
            bar.inc(1);
        } else if self.is_shown && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            say(format_args!("read {} of {} {}", self.done, self.count, self.what));
        }
    }
}

/// The client itself sends at most 32 requests at a time to a host.
const PARALLEL: usize = 32;

/// A bar for each blob that is being transferred, and a bar for all blobs.
struct Bars {
    all: LiveBars,
    total: ProgressBar,
    shown: Mutex<(Account, HashMap<Digest, ProgressBar>)>,
}

impl Bars {
    fn new() -> Self {
        let all = LiveBars::new();
        let total = all.add(ProgressBar::new(0).with_style(style(TOTAL)).with_prefix("total"));
        Self { all, total, shown: Mutex::default() }
    }

    fn show(&self, event: &CopyEvent) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (account, blobs) = &mut *shown;
        account.add(event);
        self.total.set_length(account.total);
        self.total.set_position(account.done);
        match event {
            CopyEvent::Progress { digest, done, .. } => {
                let bar = blobs.entry(digest.clone()).or_insert_with(|| {
                    let size = account.blobs.get(digest).map_or(0, |blob| blob.size);
                    let bar = ProgressBar::new(size).with_style(style(BLOB));
                    self.all.add_above(&self.total, bar.with_prefix(digest.short().to_owned()))
                });
                bar.set_position(*done);
            }
            CopyEvent::Skipped { digest, .. }
            | CopyEvent::LeftOut { digest, .. }
            | CopyEvent::Mounted { digest, .. }
            | CopyEvent::Sent { digest, .. } => {
                if let Some(bar) = blobs.remove(digest) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const BLOB: &str = "{prefix:12} {bar:30} {binary_bytes:>11} / {binary_total_bytes:<11}";
const TOTAL: &str = "{prefix:12} {bar:30} {binary_bytes:>11} / {binary_total_bytes:<11} \
    {binary_bytes_per_sec}, {eta} left";

/// Prints a line every few seconds: the number of bytes transferred or skipped, and the total size
/// of the blobs found so far.
struct Lines(Mutex<(Account, Instant)>);

impl Lines {
    fn new() -> Self {
        Self(Mutex::new((Account::default(), Instant::now())))
    }

    fn show(&self, event: &CopyEvent) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (account, last) = &mut *shown;
        account.add(event);
        // The first line is printed after a pause, so short copies print nothing.
        if last.elapsed() >= PAUSE {
            *last = Instant::now();
            let (done, total) = (size(account.done), size(account.total));
            say(format_args!("{done} of {total} in {} blobs", account.blobs.len()));
        }
    }
}

/// The blobs of a copy that were found so far. Several images may share a blob.
#[derive(Default)]
struct Account {
    blobs: HashMap<Digest, Blob>,
    /// Size of all blobs in bytes.
    total: u64,
    /// The sum of the positions, in bytes.
    done: u64,
}

/// A blob, and the position in bytes that its transfer has reached.
struct Blob {
    size: u64,
    done: u64,
}

impl Account {
    fn add(&mut self, event: &CopyEvent) {
        match event {
            CopyEvent::Found { blob } => {
                let Descriptor { digest, size, .. } = blob;
                self.blobs.entry(digest.clone()).or_insert_with(|| {
                    self.total = self.total.saturating_add(*size);
                    Blob { size: *size, done: 0 }
                });
            }
            CopyEvent::Progress { digest, done, .. } => self.reach(digest, *done),
            CopyEvent::Skipped { digest, size, .. }
            | CopyEvent::LeftOut { digest, size, .. }
            | CopyEvent::Mounted { digest, size, .. }
            | CopyEvent::Sent { digest, size, .. } => self.reach(digest, *size),
            _ => {}
        }
    }

    fn reach(&mut self, digest: &Digest, done: u64) {
        if let Some(blob) = self.blobs.get_mut(digest) {
            let done = done.min(blob.size);
            self.done = self.done.saturating_sub(blob.done).saturating_add(done);
            blob.done = done;
        }
    }
}

/// Five seconds, between two lines.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_blobs_count_once_and_a_repeated_transfer_starts_again() {
        let blob = |content: &[u8]| {
            let media_type = longshore::MediaType::OCTET_STREAM;
            Descriptor::new(media_type, Digest::sha256(content), 10)
        };
        let (a, b) = (blob(b"a"), blob(b"b"));
        let mut account = Account::default();
        for blob in [&a, &b, &a] {
            account.add(&CopyEvent::Found { blob: blob.clone() });
        }
        let progress = |bytes, done| {
            let digest = a.digest.clone();
            CopyEvent::Progress { digest, bytes, done }
        };
        account.add(&progress(8, 8));
        account.add(&progress(2, 2));
        assert_eq!((account.done, account.total), (2, 20));
        account.add(&CopyEvent::Sent { digest: a.digest.clone(), size: 10 });
        account.add(&CopyEvent::Skipped { digest: b.digest, size: 10 });
        assert_eq!((account.done, account.total), (20, 20));
    }
}
