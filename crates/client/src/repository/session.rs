//! Upload sessions that are not left behind.

use super::Upload;

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
