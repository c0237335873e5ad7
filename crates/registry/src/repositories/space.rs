//! The size of a registry's content, and its limit.
//!
//! Owns the counter. Callers decide what is counted and when content is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_core::{Error, ErrorCode, ErrorKind, RegistryError, Result};

/// The counted size of a registry in bytes. Clones share the counter.
#[derive(Clone, Debug)]
pub(super) struct Space(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    used: AtomicU64,
    /// `None` if sizes are not counted. `used` has no meaning in this case.
    limit: Option<u64>,
}

/// Counted bytes, returned on drop.
#[derive(Debug)]
pub(super) struct Held {
    space: Space,
    bytes: u64,
}

impl Space {
    /// Creates a counter that starts at zero. Without a limit, nothing is counted.
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self(Arc::new(Counted { used: AtomicU64::new(0), limit }))
    }

    pub(super) fn is_counted(&self) -> bool {
        self.0.limit.is_some()
    }

    /// Returns the size in bytes, if it is counted.
    pub(super) fn used(&self) -> Option<u64> {
        self.0.limit.map(|_| self.0.used.load(Ordering::Acquire))
    }

    /// Sets the initial size, before any bytes are taken.
    pub(super) fn found(&self, used: u64) {
        self.0.used.store(used, Ordering::Release);
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), with the code `DENIED`, if the counted size would exceed
    /// the limit.
    pub(super) fn take(&self, bytes: u64) -> Result<Held> {
        let limit = self.0.limit.unwrap_or(u64::MAX);
        let taken = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            if limit == u64::MAX {
                return Some(used.wrapping_add(bytes));
            }
            used.checked_add(bytes).filter(|used| *used <= limit)
        });
        match taken {
            Ok(_) => Ok(Held { space: self.clone(), bytes }),
            Err(_) => Err(full(limit)),
        }
    }

    /// Holds bytes that are already counted.
    pub(super) fn held(&self, bytes: u64) -> Held {
        Held { space: self.clone(), bytes }
    }

    /// Subtracts removed bytes.
    pub(super) fn freed(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Adds bytes that can no longer be refused.
    fn grown(&self, bytes: u64) {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Held {
    /// Takes bytes from the reservation first, and the rest from the free space.
    pub(super) fn draw(&mut self, bytes: u64, reserved: &mut Self) -> Result<()> {
        let drawn = bytes.min(reserved.bytes);
        let mut taken = self.space.take(bytes - drawn)?;
        reserved.bytes -= drawn;
        self.bytes += drawn + taken.keep();
        Ok(())
    }

    /// Reserves bytes to draw from later.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Self> {
        self.space.take(bytes)
    }

    /// Gives back all bytes beyond `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        self.space.freed(self.bytes.saturating_sub(bytes));
        self.bytes = self.bytes.min(bytes);
    }

    /// Leaves the bytes counted after drop, and returns their number. The caller must call
    /// [`Space::freed`] when the bytes are removed.
    pub(super) fn keep(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Counts `new` bytes of content in place of the `old` bytes that they replace. The count
    /// remains after drop.
    pub(super) fn replace(&mut self, old: u64, new: u64) {
        match new.checked_sub(old) {
            Some(more) => {
                let drawn = more.min(self.bytes);
                self.bytes -= drawn;
                self.space.grown(more - drawn);
            }
            None => self.space.freed(old - new),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.space.freed(self.bytes);
    }
}

fn full(limit: u64) -> Error {
    let message = format!("the registry is full; its limit is {limit} bytes");
    let detail = serde_json::Value::Null;
    let denied = RegistryError { code: ErrorCode::DENIED, message, detail };
    Error::new(ErrorKind::TooLarge).with_registry_errors(vec![denied])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_up_to_the_limit_and_returned_on_drop() {
        let space = Space::new(Some(10));
        let mut upload = space.take(0).unwrap();
        let mut reserved = space.take(6).unwrap();
        let e = space.take(5).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        assert!(e.has_code(&ErrorCode::DENIED), "{e}");

        upload.draw(4, &mut reserved).unwrap();
        assert_eq!(space.used(), Some(6));
        upload.draw(6, &mut reserved).unwrap();
        assert_eq!((space.used(), reserved.bytes), (Some(10), 0));
        upload.draw(1, &mut reserved).unwrap_err();
        assert_eq!((space.used(), upload.bytes), (Some(10), 10), "a refused draw takes no bytes");
        upload.shrink_to(3);
        drop(reserved);
        assert_eq!(space.used(), Some(3));
        assert_eq!(upload.keep(), 3);
        assert_eq!(space.used(), Some(3), "kept bytes stay counted");
        space.freed(3);
        assert_eq!(space.used(), Some(0));
    }

    #[test]
    fn replacing_content_takes_only_the_difference() {
        let space = Space::new(Some(10));
        let mut held = space.take(5).unwrap();
        held.replace(0, 4);
        held.replace(4, 2);
        assert_eq!((space.used(), held.bytes), (Some(3), 1));
        drop(held);
        assert_eq!(space.used(), Some(2));
    }

    #[test]
    fn without_a_limit_all_bytes_are_accepted() {
        for limit in [None, Some(u64::MAX)] {
            let space = Space::new(limit);
            let all = space.take(u64::MAX).unwrap();
            let more = space.take(1).unwrap();
            drop((all, more));
            assert_eq!(space.used(), limit.map(|_| 0));
        }
    }
}
