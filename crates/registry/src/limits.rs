use std::num::NonZeroUsize;
use std::time::Duration;

/// How much a registry takes from its clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a manifest; more is answered with 413.
    pub manifest_size: usize,
    /// Bytes of a blob; more is answered with 413, and the upload is dropped.
    pub blob_size: u64,
    /// Bytes that the registry may hold: blobs (each once, however many repositories have it),
    /// manifests, tags and uploads. More is answered with 413 and the code `DENIED`. A limit of
    /// `u64::MAX` only counts; `None` does not even do that, and a start on a folder is quicker.
    ///
    /// Only for a storage that [can tell](crate::Storage::stored) how much it has, as memory and
    /// disks can.
    pub total_size: Option<u64>,
    /// Names on a page of tags or repositories, whatever `n` a client asks for.
    pub page: usize,
    /// Bytes of names in a listing that is asked for without `n`; the rest is linked.
    pub listing_size: usize,
    /// How long an upload may lie untouched before [`Registry::expire_uploads`] drops it.
    ///
    /// [`Registry::expire_uploads`]: crate::Registry::expire_uploads
    pub upload_idle: Duration,
    /// How long a client may keep the registry waiting for each [`body_rate`](Self::body_rate) bytes of
    /// a body, whether it sends it or takes it.
    pub body_window: Duration,
    /// Bytes that a client must send or take within each window; the body's end counts too.
    pub body_rate: u64,
    /// Blobs that are read or written for clients at once; more requests wait for their turn.
    pub open_files: NonZeroUsize,
    /// Connections that [`serve`](crate::serve) has open at once; more wait to be accepted.
    ///
    /// A connection takes a file descriptor, as an open file does: both numbers together are to stay
    /// below what the process may have, with a reserve for files that are open for a moment.
    pub connections: NonZeroUsize,
}

impl Default for Limits {
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

/// 4 MiB: what the specification asks registries to take, and what distribution takes.
const MANIFEST_SIZE: usize = 4 << 20;
/// 1,000 items: a page of the longest names stays under 256 KiB.
const PAGE: usize = 1_000;
/// 8 MiB: what longshore and other clients take for a listing; some 400,000 tags.
const LISTING_SIZE: usize = 8 << 20;
/// A day: a push that paused for a night goes on.
const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// 30 s: as long as longshore's client waits.
const BODY_WINDOW: Duration = Duration::from_secs(30);
/// 1 KiB/s: slower than any modem, faster than an attack that holds connections open.
const BODY_RATE: u64 = 30 << 10;
/// 4,096 files and as many connections: within the 10,240 descriptors that systems grant.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
