//! Stores to write to.

use std::sync::Arc;

use longshore::{Layout, Result, Target};
use longshore_image::{DockerArchiveWriter, OciArchiveWriter};

use crate::location::Location;

/// A store to write to; an archive shows only when it is finished.
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn Target>,
    pub(super) local: Option<Local>,
}

/// A store of this machine, as what it is.
pub(super) enum Local {
    Layout(Arc<Layout>),
    OciArchive(Arc<OciArchiveWriter>),
    DockerArchive(Arc<DockerArchiveWriter>),
}

impl Destination {
    pub(super) fn of(store: Arc<dyn Target>) -> Self {
        Self { store, local: None }
    }

    /// The store, naming what is written after the location's repository where it keeps such names:
    /// one docker-archive takes the images of many.
    pub(crate) fn within(&self, location: &Location) -> Arc<dyn Target> {
        match (&self.local, location.reference()) {
            (Some(Local::DockerArchive(writer)), Some(reference)) => {
                Arc::new(writer.within(reference.repository().clone()))
            }
            _ => Arc::clone(&self.store),
        }
    }

    /// The store in which every tag stands for the entry of this name, where names need not be tags.
    pub(crate) fn under(&self, name: &str) -> Arc<dyn Target> {
        match &self.local {
            Some(Local::Layout(layout)) => Arc::new(layout.under(name)),
            Some(Local::OciArchive(writer)) => Arc::new(writer.under(name)),
            Some(Local::DockerArchive(_)) | None => Arc::clone(&self.store),
        }
    }

    /// Makes what was written visible.
    pub(crate) async fn finish(&self) -> Result<()> {
        self.store.finish().await
    }
}
