//! How far a blob is.

use serde::Serialize;

/// How far a blob is that is being read or sent, after one more piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The size in bytes of the piece that just went by.
    pub piece: u64,
    /// The bytes so far, with this piece.
    pub done: u64,
    /// The bytes in all, where that is known.
    pub size: Option<u64>,
}
