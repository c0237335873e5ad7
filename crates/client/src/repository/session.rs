//! Upload sessions that are not left behind: kept for the push to come, or given up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use longshore_core::Digest;

use super::Upload;

/// Sessions that registries gave in place of a mount, until the push that follows.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Digest, Upload>>);

impl Sessions {
    pub(super) fn keep(&self, digest: &Digest, upload: Upload) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(digest.clone(), upload);
    }

    pub(super) fn take(&self, digest: &Digest) -> Option<Upload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)
    }
}

/// An upload session that is given up if the push is dropped before its end.
pub(super) struct Session {
    pub(super) upload: Upload,
    /// Whether there is something to give up.
    open: bool,
}

impl Session {
    pub(super) fn of(upload: Upload) -> Self {
        Self { upload, open: true }
    }

    /// Leaves the session alone: it is complete, or gone.
    pub(super) fn forget(mut self) {
        self.open = false;
    }

    /// Gives the session up; whether that worked matters to nobody.
    pub(super) async fn cancel(mut self) {
        self.open = false;
        drop(self.upload.cancellation().await);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.upload.cancellation());
        }
    }
}
