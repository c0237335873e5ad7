//! The operations of the matrix: what each one does, and which requests it makes.

use std::sync::Arc;

use longshore::{
    BlobBody, Copier, Delete as _, Error, ErrorKind, Layout, Result, Source as _, Target as _,
};

use super::setting::{Setting, tag};

/// An operation of the client, in the order of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// O1: checks the credentials.
    Ping,
    /// O2: resolves a tag.
    ManifestHead,
    /// O3: gets a manifest by its tag.
    TagGet,
    /// O4: gets a manifest by its digest.
    DigestGet,
    /// O5: gets the size of a blob.
    BlobHead,
    /// O6: gets a blob.
    BlobGet,
    /// O7: gets a blob whose first reply ends in the middle. The fault affects the second reply.
    BlobResume,
    /// O8: pushes a blob with `POST` and `PUT`.
    Monolithic,
    /// O9: pushes a blob with `POST`, two `PATCH` and `PUT`.
    Chunked,
    /// O10: mounts a blob from another repository of the registry.
    Mount,
    /// O11: pushes a manifest.
    ManifestPut,
    /// O12: lists tags, in two pages.
    Tags,
    /// O13: lists repositories, in two pages.
    Catalog,
    /// O14: lists referrers.
    Referrers,
    /// O15: deletes a manifest.
    Delete,
    /// O16: copies an image to another registry.
    Copy,
    /// O17: pulls an image to a layout.
    Pull,
}

use Operation::*;

/// All operations.
pub(super) const ALL: &[Operation] = &[
    Ping,
    ManifestHead,
    TagGet,
    DigestGet,
    BlobHead,
    BlobGet,
    BlobResume,
    Monolithic,
    Chunked,
    Mount,
    ManifestPut,
    Tags,
    Catalog,
    Referrers,
    Delete,
    Copy,
    Pull,
];

/// A result that the operation can report without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The complete and correct result.
    Complete,
    /// The registry does not have the requested thing.
    Absent,
    /// The operation reported success, but its result is wrong or incomplete.
    Wrong,
}

impl Operation {
    /// Returns the name in the catalogue.
    pub(super) fn name(self) -> String {
        format!("O{}", self as usize + 1)
    }

    /// Returns the number of requests without a fault, from a client that has a token for no
    /// repository.
    pub(super) fn clean_requests(self) -> usize {
        match self {
            Ping => 1,
            // One request, one for a token.
            ManifestHead | TagGet | DigestGet | BlobHead | BlobGet | BlobResume => 2,
            ManifestPut | Referrers | Mount => 2,
            Delete => 1,
            Tags | Catalog | Monolithic => 3,
            // The image and its referrer: tag, fallback tags, manifests, blobs and a token.
            Pull => 9,
            Chunked => 5,
            // The same, and 12 requests to the target.
            Copy => 19,
        }
    }

    /// Returns the number of further requests that repair the operation: an upload asks for the
    /// state of its session, and cancels it.
    pub(super) fn repair_requests(self) -> usize {
        match self {
            Monolithic | Chunked | Mount | Copy => 2,
            _ => 0,
        }
    }

    /// Performs the operation, and checks its result.
    pub(super) async fn run(self, setting: &Setting<'_>) -> Result<Answer> {
        let ground = setting.ground;
        let (shared, own) = (setting.shared(), setting.own());
        let layer = ground.layer();
        let is_complete = match self {
            Ping => {
                setting.client.check_credentials(&setting.name).await?;
                true
            }
            ManifestHead => shared.resolve(&tag().into()).await?.digest == *ground.root().digest(),
            TagGet => shared.manifest(&tag().into()).await?.bytes() == ground.root().bytes(),
            DigestGet => {
                let digest = ground.root().digest().clone();
                shared.manifest(&digest.into()).await?.bytes() == ground.root().bytes()
            }
            BlobHead => match shared.blob_size(&layer.0.digest).await? {
                Some(size) if size == layer.0.size => true,
                // The caller knows the size from the descriptor.
                Some(_) => return Err(Error::new(ErrorKind::SizeMismatch).at(&setting.name)),
                None => return Ok(Answer::Absent),
            },
            BlobGet | BlobResume => {
                shared.blob(&layer.0).await?.bytes(layer.1.len()).await? == layer.1
            }
            Monolithic | Chunked => {
                own.push_blob(&layer.0, layer.1.clone().into()).await?;
                setting.has_layer().await
            }
            Mount => {
                own.push_blob(&layer.0, BlobBody::source(Arc::new(shared))).await?;
                setting.has_layer().await
            }
            ManifestPut => {
                own.push_manifest(ground.root(), Some(&tag())).await?;
                setting.has_manifest().await
            }
            Tags => shared.tags(None).all().await?.len() == 3,
            Catalog => setting.client.catalog(&setting.name).all().await?.len() == 3,
            Referrers => match shared.referrers(ground.root().digest(), None).all().await?.len() {
                0 => return Ok(Answer::Absent),
                found => found == 1,
            },
            Delete => {
                setting.seed().await;
                own.delete_manifest(ground.root().digest()).await?;
                !setting.has_manifest().await
            }
            Copy => {
                let copier = Copier::new(Arc::new(shared), Arc::new(setting.target()));
                copier.copy(&tag().into(), Some(&tag())).await?;
                setting.has_manifest().await && setting.has_layer().await
            }
            Pull => {
                let layout = Arc::new(Layout::create(setting.folder.path()).await?);
                let copier = Copier::new(Arc::new(shared), Arc::clone(&layout) as _);
                copier.copy(&tag().into(), Some(&tag())).await?;
                layout.blob(&layer.0).await?.bytes(layer.1.len()).await? == layer.1
            }
        };
        Ok(if is_complete { Answer::Complete } else { Answer::Wrong })
    }
}
