//! Mounts a blob from another repository of the registry, or from the repository itself. A mount
//! from the repository itself checks whether the blob exists and begins an upload in one request.

use http::Method;
use longshore_core::{Descriptor, Error, ErrorKind, Pushed, Repository, RepositoryName, Result};

use super::upload::Session;
use super::{RemoteRepository, Upload};
use crate::auth::Scopes;
use crate::exchange::RegistryRequest;

/// The result of a mount.
pub(super) enum Mount {
    /// The repository has the blob.
    Done(Pushed),
    /// The registry declined. It may have begun an upload session instead.
    Declined(Option<Box<Session>>),
    /// The registry failed to mount. It may still accept the content.
    Failed(Error),
}

/// The reply to a mount of a blob from its own repository.
pub(super) enum SelfMount {
    /// The repository has the blob.
    Exists,
    /// The registry began an upload session, which is missing if its URL may not be used.
    Begun(Option<Box<Session>>),
    /// The registry does not support such requests.
    Unsupported,
    /// The registry refused this request or failed.
    Failed,
}

/// The reply to a request to mount a blob.
enum MountReply {
    /// 201: the repository has the blob now.
    Created,
    /// 202: the registry began an upload session, which is missing if its URL may not be used.
    Begun(Option<Box<Session>>),
    /// The registry refuses the request with this status. It may still accept the content.
    Refused(u16),
    /// The registry failed. It may still accept the content.
    Failed(Error),
}

impl RemoteRepository {
    /// Requests a mount of a blob from another repository of the registry. If the registry
    /// declines, checks whether this repository already has the blob.
    ///
    /// Source: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
    pub(super) async fn mount(&self, descriptor: &Descriptor, from: &Repository) -> Result<Mount> {
        let scopes = self.push_from(from.name());
        let (session, failure) = match self.post_mount(descriptor, from.name(), scopes).await {
            // The credentials do not cover both repositories, so the blob is not mounted.
            Err(e) if matches!(e.kind(), ErrorKind::Unauthorized | ErrorKind::Denied) => {
                (None, None)
            }
            Err(e) => return Err(e),
            Ok(MountReply::Created) => return Ok(Mount::Done(Pushed::Mounted)),
            Ok(MountReply::Begun(session)) => (session, None),
            Ok(MountReply::Refused(_)) => (None, None),
            Ok(MountReply::Failed(error)) => (None, Some(error)),
        };
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

    /// Requests a mount of a blob from this repository itself.
    ///
    /// Source: distribution-spec v1.1.1, "Mounting a blob from another repository" (end-11).
    pub(super) async fn mount_from_itself(&self, descriptor: &Descriptor) -> Result<SelfMount> {
        Ok(match self.post_mount(descriptor, self.path(), self.push()).await? {
            MountReply::Created => SelfMount::Exists,
            MountReply::Begun(session) => SelfMount::Begun(session),
            MountReply::Refused(400 | 405 | 415 | 501) => SelfMount::Unsupported,
            MountReply::Refused(_) | MountReply::Failed(_) => SelfMount::Failed,
        })
    }

    async fn post_mount(
        &self,
        descriptor: &Descriptor,
        from: &RepositoryName,
        scopes: Scopes,
    ) -> Result<MountReply> {
        let about = self.blob_name(&descriptor.digest);
        let uri = self.endpoint().await?.mount(self.path(), &descriptor.digest, from);
        let request = RegistryRequest::new(Method::POST, uri, scopes, &about);
        let reply = self.exchange().send(request).await?;
        Ok(match reply.status.as_u16() {
            201 => {
                reply.body.drain().await;
                MountReply::Created
            }
            202 => {
                let upload = Upload::of(self, reply).await.ok();
                MountReply::Begun(upload.map(Session::of).map(Box::new))
            }
            // A registry that refuses to mount may still accept the content. Quay answers 400.
            status @ (400..=428 | 430..=499 | 501) => {
                reply.body.drain().await;
                MountReply::Refused(status)
            }
            500..=599 => MountReply::Failed(reply.into_error().await),
            _ => return Err(reply.into_error().await.at(about)),
        })
    }
}
