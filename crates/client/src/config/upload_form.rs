//! The forms of uploads.

use std::num::NonZeroU64;

/// In what form blobs are sent.
///
/// A registry that refuses one is sent the other, and that is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadForm {
    /// In one request, which begins and ends the upload, where the registry takes that; else as
    /// [`Whole`](Self::Whole). Some registries leave the content unread, and it is sent twice.
    Single,
    /// All at once: two requests a blob, whatever its size.
    #[default]
    Whole,
    /// In chunks of this many bytes, or of the registry's own minimum if that is more.
    Chunks(NonZeroU64),
}
