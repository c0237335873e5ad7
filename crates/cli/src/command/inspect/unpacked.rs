//! What layers unpack to, learnt by reading them.

use std::fmt;

use longshore::{Descriptor, Digest, ImageLayer, Located, Result, UnpackLimits, measure};
use serde::Serialize;

use crate::context::Context;
use crate::output::size;
use crate::progress::Single;

/// What a layer unpacks to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unpacked {
    /// The layer as it travels.
    digest: Digest,
    diff_id: Digest,
    compression: String,
    size: u64,
}

/// Reads layers, one after another, and holds what they unpack to against their diff IDs.
///
/// # Errors
/// The source's; [`DigestMismatch`](longshore::ErrorKind::DigestMismatch) where a layer is not what
/// the image's configuration says; [`TooLarge`](longshore::ErrorKind::TooLarge) where it unpacks to
/// more than is believed.
pub(super) async fn measure_all(
    context: &Context,
    located: &Located,
    layers: impl Iterator<Item = ImageLayer<'_>>,
) -> Result<Vec<Unpacked>> {
    let mut all = Vec::new();
    for layer in layers {
        let Descriptor { digest, .. } = layer.descriptor.clone();
        let progress = Single::begin(context.style(), layer.descriptor.clone());
        let reader = located.source.blob(layer.descriptor).await?.on_progress(progress.listener());
        let found = measure(reader, UnpackLimits::default()).await?;
        progress.done();
        // One of another algorithm cannot be compared.
        let same = |diff_id: &&Digest| diff_id.algorithm_name() == found.diff_id.algorithm_name();
        if let Some(diff_id) = layer.diff_id.filter(same) {
            diff_id.check(&found.diff_id).map_err(|e| e.at(&digest))?;
        }
        let compression = found.compression.to_string();
        all.push(Unpacked { digest, diff_id: found.diff_id, compression, size: found.size });
    }
    Ok(all)
}

/// The bytes of all layers together.
pub(super) fn total(layers: &[Unpacked]) -> u64 {
    layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
}

impl fmt::Display for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {:>10}  {}", self.diff_id, size(self.size), self.compression)
    }
}
