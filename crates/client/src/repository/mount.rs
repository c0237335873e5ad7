//! Blobs that a registry holds elsewhere, taken over without being sent.

use http::Method;
use longshore_core::{Descriptor, ErrorKind, Mount, Repository, Result};

use super::{RemoteRepository, Upload};
use crate::exchange::Ask;

impl RemoteRepository {
    /// Asks for a blob of another repository; keeps the session that a registry gives instead, for
    /// the push that will follow.
    ///
    /// Source: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
    pub(super) async fn mount(&self, descriptor: &Descriptor, from: &Repository) -> Result<Mount> {
        if from.registry() != self.repository().registry() {
            return Ok(Mount::Declined);
        }
        let uri = self.endpoint()?.mount(self.path(), &descriptor.digest, from.name());
        let scopes = self.push_from(from.name());
        let ask = Ask::new(Method::POST, uri, scopes, self.blob_name(&descriptor.digest));
        let reply = match self.exchange().send(ask).await {
            // No token for both repositories: then without the other one.
            Err(e) if matches!(e.kind(), ErrorKind::Unauthorized | ErrorKind::Denied) => {
                return Ok(Mount::Declined);
            }
            reply => reply?,
        };
        match reply.status.as_u16() {
            201 => {
                reply.body.drain().await;
                Ok(Mount::Mounted)
            }
            202 => {
                if let Ok(upload) = Upload::of(self, reply).await {
                    self.inner.sessions.keep(&descriptor.digest, upload);
                }
                Ok(Mount::Declined)
            }
            // Whatever a registry has against a mount, it may take the bytes: Quay says 400.
            400..=428 | 430..=499 | 501 => {
                reply.body.drain().await;
                Ok(Mount::Declined)
            }
            _ => Err(reply.into_error().await.at(self.blob_name(&descriptor.digest))),
        }
    }
}
