//! Reads layers to find their unpacked sizes and digests.

use std::fmt;

use longshore::{Descriptor, Digest, ImageLayer, Located, Result, UnpackLimits, measure_layer};
use serde::Serialize;

use crate::context::Context;
use crate::output::size;
use crate::progress::Single;

/// The unpacked size and digest of a layer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnpackResult {
    /// The digest of the layer as stored.
    digest: Digest,
    diff_id: Digest,
    compression: String,
    size: u64,
}

/// Reads layers one after another and compares their unpacked digests with the diff IDs.
///
/// # Errors
/// Errors of the source; [`DigestMismatch`](longshore::ErrorKind::DigestMismatch) if a layer does
/// not match the image's config; [`TooLarge`](longshore::ErrorKind::TooLarge) if a layer unpacks to
/// more than the limit.
pub(super) async fn measure_all(
    context: &Context,
    located: &Located,
    layers: impl Iterator<Item = ImageLayer<'_>>,
) -> Result<Vec<UnpackResult>> {
    let mut all = Vec::new();
    for layer in layers {
        let Descriptor { digest, .. } = layer.descriptor.clone();
        let progress = Single::begin(context.style(), layer.descriptor.clone());
        let reader = located.source.blob(layer.descriptor).await?.on_progress(progress.listener());
        let found = measure_layer(reader, UnpackLimits::default()).await?;
        progress.done();
        // A diff ID with another algorithm cannot be compared.
        let same = |diff_id: &&Digest| diff_id.algorithm_name() == found.diff_id.algorithm_name();
        if let Some(diff_id) = layer.diff_id.filter(same) {
            diff_id.check(&found.diff_id).map_err(|e| e.at(&digest))?;
        }
        let compression = found.compression.to_string();
        all.push(UnpackResult { digest, diff_id: found.diff_id, compression, size: found.size });
    }
    Ok(all)
}

/// Returns the total unpacked size of the layers, in bytes.
pub(super) fn total(layers: &[UnpackResult]) -> u64 {
    layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
}

impl fmt::Display for UnpackResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {:>10}  {}", self.diff_id, size(self.size), self.compression)
    }
}
