//! Handling each digest once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::digest::Digest;
use crate::error::Result;

/// Work that is done once per digest, whatever the number of callers.
#[derive(Default)]
pub(super) struct Once(Mutex<HashMap<Digest, Arc<OnceCell<()>>>>);

impl Once {
    /// Does the work, or waits for the caller that does it. After a failure the next caller tries
    /// again.
    pub(super) async fn run<Fut>(&self, digest: &Digest, work: impl FnOnce() -> Fut) -> Result<()>
    where
        Fut: Future<Output = Result<()>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(digest.clone()).or_default())
        };
        cell.get_or_try_init(work).await.map(drop)
    }
}
