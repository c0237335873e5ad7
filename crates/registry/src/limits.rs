use std::num::NonZeroUsize;
use std::time::Duration;

/// The limits that a registry sets for its clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryLimits {
    /// The maximum size of a manifest in bytes. A larger manifest is refused with 413.
    pub manifest_size: usize,
    /// The maximum size of a blob in bytes. A larger blob is refused with 413, and its upload is
    /// removed.
    pub blob_size: u64,
    /// The maximum size of all content in bytes: blobs (each once, even if several repositories
    /// have it), manifests, tags and uploads. A write beyond this size is refused with 413 and the
    /// code `DENIED`. `u64::MAX` counts content without limiting it. With `None`, only content in
    /// memory is counted, so that a folder opens faster.
    ///
    /// Requires a storage that [reports](crate::Storage::stored) its size, as memory and folders
    /// do.
    pub total_size: Option<u64>,
    /// The maximum number of names in a listing of tags or repositories with `n`, even if `n` is
    /// larger.
    pub page: usize,
    /// The maximum size of the names in a listing without `n`, in bytes. Further names are on
    /// linked pages.
    pub listing_size: usize,
    /// The time after which [`Registry::expire_uploads`] removes an unused upload.
    ///
    /// [`Registry::expire_uploads`]: crate::Registry::expire_uploads
    pub upload_idle: Duration,
    /// The time in which a client must transfer [`body_rate`](Self::body_rate) bytes of a body, in
    /// either direction. Only time that the registry waits for the client counts.
    pub body_window: Duration,
    /// The number of bytes that a client must send or accept within each
    /// [`body_window`](Self::body_window), unless the body ends earlier.
    pub body_rate: u64,
    /// The maximum number of blobs that are read or written at the same time. Further requests
    /// wait, and fail after [`body_window`](Self::body_window).
    pub open_files: NonZeroUsize,
    /// The maximum number of open connections of [`serve`](crate::serve). Further connections wait
    /// to be accepted.
    ///
    /// A connection takes a file descriptor, as an open file does. The sum of `connections` and
    /// `open_files` should stay below the limit of the process, with a reserve for files that are
    /// open briefly.
    pub connections: NonZeroUsize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self {
            manifest_size: MANIFEST_SIZE,
            blob_size: u64::MAX,
            total_size: None,
            page: PAGE,
            listing_size: LISTING_SIZE,
            upload_idle: UPLOAD_IDLE,
            body_window: BODY_WINDOW,
            body_rate: BODY_RATE,
            open_files: OPEN_FILES,
            connections: CONNECTIONS,
        }
    }
}

/// 4 MiB: the size that registries should accept according to the specification, and the limit of
/// distribution.
const MANIFEST_SIZE: usize = 4 << 20;
/// 1,000 items: a page of the longest names stays under 256 KiB.
const PAGE: usize = 1_000;
/// 8 MiB: the size of a listing that longshore and other clients accept, about 400,000 tags.
const LISTING_SIZE: usize = 8 << 20;
/// One day, so that a push can continue after a night's pause.
const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// 30 s: the same as the idle timeout of longshore's client.
const BODY_WINDOW: Duration = Duration::from_secs(30);
/// 1 KiB/s: slower than a modem with 14.4 kbit/s, but faster than an attack that holds connections
/// open.
const BODY_RATE: u64 = 30 << 10;
/// 4,096 files and as many connections. The sum is below the 10,240 descriptors that macOS allows a
/// process.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
