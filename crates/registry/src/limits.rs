use std::num::NonZeroUsize;
use std::time::Duration;

/// The limits of a registry for its clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryLimits {
    /// Maximum size of a manifest in bytes; more is answered with 413.
    pub manifest_size: usize,
    /// Maximum size of a blob in bytes; more is answered with 413, and the upload is removed.
    pub blob_size: u64,
    /// Maximum size of all content in bytes: blobs (each once, even if several repositories have
    /// it), manifests, tags and uploads. More is answered with 413 and the code `DENIED`. A limit
    /// of `u64::MAX` only counts; `None` does not count, so that opening a folder is faster.
    ///
    /// Requires a storage that [reports](crate::Storage::stored) its size, as memory and disks do.
    pub total_size: Option<u64>,
    /// Maximum number of names on a page of tags or repositories, whatever `n` a client sends.
    pub page: usize,
    /// Maximum size of the names in a listing without `n`, in bytes; the rest is on linked pages.
    pub listing_size: usize,
    /// Time after which [`Registry::expire_uploads`] removes an untouched upload.
    ///
    /// [`Registry::expire_uploads`]: crate::Registry::expire_uploads
    pub upload_idle: Duration,
    /// Time that a client may keep the registry waiting for each [`body_rate`](Self::body_rate)
    /// bytes of a body, in either direction.
    pub body_window: Duration,
    /// Bytes that a client must send or accept within each window; the body's end counts too.
    pub body_rate: u64,
    /// Maximum number of blobs being read or written at once; more requests wait.
    pub open_files: NonZeroUsize,
    /// Maximum number of open connections of [`serve`](crate::serve); more wait to be accepted.
    ///
    /// A connection takes a file descriptor, as an open file does: the sum of both numbers should
    /// stay below the process limit, with a reserve for files that are open briefly.
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

/// 4 MiB: the size that the specification asks registries to accept, and distribution's limit.
const MANIFEST_SIZE: usize = 4 << 20;
/// 1,000 items: a page of the longest names stays under 256 KiB.
const PAGE: usize = 1_000;
/// 8 MiB: the size of a listing that longshore and other clients accept; some 400,000 tags.
const LISTING_SIZE: usize = 8 << 20;
/// One day: a push can continue after a night's pause.
const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// 30 s: longshore's client waits as long.
const BODY_WINDOW: Duration = Duration::from_secs(30);
/// 1 KiB/s: slower than any modem, faster than an attack that holds connections open.
const BODY_RATE: u64 = 30 << 10;
/// 4,096 files and as many connections: within the 10,240 descriptors that systems grant.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
