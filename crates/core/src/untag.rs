//! Removes one tag, even if the registry cannot delete tags.

use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Pack;
use crate::reference::Tag;
use crate::store::Delete;

/// The way a tag was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UntagMethod {
    /// The store deleted the tag itself.
    Direct,
    /// The tag was moved to a placeholder manifest, which was deleted by its digest.
    Placeholder,
}

/// Removes one tag, and keeps the manifest and its other tags.
///
/// First requests the deletion of the tag. If the store does not delete tags, points the tag at a
/// placeholder manifest, and deletes the placeholder by its digest, which removes only this tag.
/// Before the tag is moved, another placeholder is pushed without a tag and deleted, to detect a
/// store that refuses deletes. If the last delete still fails, the tag is restored.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the tag does not exist;
/// [`Unsupported`](ErrorKind::Unsupported) if the store does not support deletes;
/// [`Conflict`](ErrorKind::Conflict) if another writer moved the tag before the placeholder is
/// tagged.
///
/// Source: distribution-spec v1.1.1, "Deleting tags" (end-9), where support is optional.
pub async fn untag(repository: &(impl Delete + ?Sized), tag: &Tag) -> Result<UntagMethod> {
    let by_tag = tag.clone().into();
    let original = repository.manifest(&by_tag).await?;
    match repository.delete_tag(tag).await {
        Ok(()) => return Ok(UntagMethod::Direct),
        // `NotFound` for an existing tag means that the registry lacks the endpoint.
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::Invalid
            ) =>
        {
            tracing::debug!(%tag, error = %e, "the store cannot delete tags; using a placeholder");
        }
        Err(e) => return Err(e),
    }
    let trial = placeholder(repository, tag, None).await?;
    repository.delete_manifest(&trial.digest).await.map_err(|e| {
        e.with_hint("The registry does not delete tags or manifests. Its owner can allow deletes.")
    })?;
    let current = repository.resolve(&by_tag).await?;
    if current.digest != *original.digest() {
        return Err(Error::new(ErrorKind::Conflict).at(format!("tag {tag}")).detail(format!(
            "the tag was moved from {} to {}",
            original.digest(),
            current.digest
        )));
    }
    let moved = placeholder(repository, tag, Some(tag)).await?;
    if let Err(e) = repository.delete_manifest(&moved.digest).await {
        repository.push_manifest(&original, Some(tag)).await?;
        return Err(e);
    }
    Ok(UntagMethod::Placeholder)
}

/// Pushes a placeholder manifest with a unique digest.
async fn placeholder(
    repository: &(impl Delete + ?Sized),
    tag: &Tag,
    as_tag: Option<&Tag>,
) -> Result<Descriptor> {
    // The nonce makes the placeholder unique. It is not a secret.
    let nonce = fastrand::u64(..);
    let artifact_type = crate::MediaType::parse(PLACEHOLDER)?;
    Pack::artifact(artifact_type)
        .annotation("dev.longshore.placeholder.tag", tag.as_str())
        .annotation("dev.longshore.placeholder.nonce", &format!("{nonce:016x}"))
        .push(repository, as_tag)
        .await
}

const PLACEHOLDER: &str = "application/vnd.longshore.placeholder.v1";

#[cfg(test)]
mod tests;
