//! Removing one tag, also where registries cannot.

use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Pack;
use crate::reference::Tag;
use crate::store::Delete;

/// How a tag was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untagged {
    /// The store removed the tag as such.
    Directly,
    /// The tag was moved to a placeholder manifest, and that was deleted by its digest.
    ByPlaceholder,
}

/// Removes one tag. The manifest it points at, and that manifest's other tags, stay.
///
/// Asks the store to delete the tag; where it cannot, points the tag at a manifest made for this
/// one call and deletes that by digest, which takes only this tag along. Before the tag is touched,
/// another such manifest is pushed without a tag and deleted, so that a store that refuses deletes
/// is found out in time. If the last step fails nevertheless, the tag is put back.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there is no such tag;
/// [`Unsupported`](ErrorKind::Unsupported) if the store deletes nothing at all;
/// [`Conflict`](ErrorKind::Conflict) if someone else moves the tag meanwhile.
///
/// Source: distribution-spec v1.1.1, "Deleting tags" (end-9), where support is optional.
pub async fn untag(repository: &(impl Delete + ?Sized), tag: &Tag) -> Result<Untagged> {
    let by_tag = tag.clone().into();
    let original = repository.manifest(&by_tag).await?;
    match repository.delete_tag(tag).await {
        Ok(()) => return Ok(Untagged::Directly),
        // NotFound: the tag is there, so it is the end-point that is not.
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::Invalid
            ) =>
        {
            tracing::debug!(%tag, error = %e, "the store deletes no tags; using a placeholder");
        }
        Err(e) => return Err(e),
    }
    let trial = placeholder(repository, tag, None).await?;
    repository.delete_manifest(&trial.digest).await.map_err(|e| {
        e.with_hint("The registry does not delete tags or manifests; its owner can allow it.")
    })?;
    let there = repository.resolve(&by_tag).await?;
    if there.digest != *original.digest() {
        return Err(Error::new(ErrorKind::Conflict).at(format!("tag {tag}")).detail(format!(
            "it pointed at {} and now points at {}",
            original.digest(),
            there.digest
        )));
    }
    let moved = placeholder(repository, tag, Some(tag)).await?;
    if let Err(e) = repository.delete_manifest(&moved.digest).await {
        repository.push_manifest(&original, Some(tag)).await?;
        return Err(e);
    }
    Ok(Untagged::ByPlaceholder)
}

/// Pushes a manifest whose digest no other manifest has.
async fn placeholder(
    repository: &(impl Delete + ?Sized),
    tag: &Tag,
    as_tag: Option<&Tag>,
) -> Result<Descriptor> {
    // It makes the placeholder unique, and keeps no secret.
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
