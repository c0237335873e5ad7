//! Mounts a blob from another repository of the registry, which is the first step of a push.

use http::Method;
use longshore_core::{Descriptor, Error, ErrorKind, Pushed, Repository, Result};

use super::upload::Session;
use super::{RemoteRepository, Upload};
use crate::exchange::RegistryRequest;

/// The result of a mount request.
pub(super) enum Mount {
    /// The repository has the blob.
    Done(Pushed),
    /// The registry declined. It may have begun an upload session instead.
    Declined(Option<Box<Session>>),
    /// The registry failed to mount. It may still accept the content.
    Failed(Error),
}

impl RemoteRepository {
    /// Requests a mount of a blob from another repository of the registry. If the registry
    /// declines, checks whether this repository already has the blob.
    ///
    /// Source: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
    pub(super) async fn mount(&self, descriptor: &Descriptor, from: &Repository) -> Result<Mount> {
        let uri = self.endpoint().await?.mount(self.path(), &descriptor.digest, from.name());
        let scopes = self.push_from(from.name());
        let request =
            RegistryRequest::new(Method::POST, uri, scopes, self.blob_name(&descriptor.digest));
        let (mut session, mut failure) = (None, None);
        match self.exchange().send(request).await {
            // The credentials do not cover both repositories, so the blob is not mounted.
            Err(e) if matches!(e.kind(), ErrorKind::Unauthorized | ErrorKind::Denied) => {}
            Err(e) => return Err(e),
            Ok(reply) => match reply.status.as_u16() {
                201 => {
                    reply.body.drain().await;
                    return Ok(Mount::Done(Pushed::Mounted));
                }
                202 => {
                    session = Upload::of(self, reply).await.ok().map(Session::of).map(Box::new);
                }
                // A registry that refuses to mount may still accept the content: Quay answers 400.
                400..=428 | 430..=499 | 501 => reply.body.drain().await,
                500..=599 => failure = Some(reply.into_error().await),
                _ => return Err(reply.into_error().await.at(self.blob_name(&descriptor.digest))),
            },
        }
        if !self.has(descriptor).await? {
            return Ok(match failure {
                Some(error) => Mount::Failed(error.at(self.blob_name(&descriptor.digest))),
                None => Mount::Declined(session),
            });
        }
        if let Some(session) = session {
            session.cancel().await;
        }
        Ok(Mount::Done(Pushed::Existing))
    }
}
