//! Manifests: the exact bytes, and a parsed view of the bytes.
//!
//! Owns [`RawManifest`], whose bytes never change, and [`Manifest`], a read-only view of them.
//! `graph` finds the children of a manifest.

mod ambiguity;
mod artifact;
mod canonical;
mod check;
mod config;
mod image;
mod index;
mod raw;
mod schema1;
mod shape;
mod view;

pub use artifact::ArtifactManifest;
pub use canonical::canonical_json;
pub use config::{CONFIG_LIMIT, ContainerConfig, History, ImageConfig, RootFs};
pub use image::ImageManifest;
pub use index::Index;
pub(crate) use index::{attested, is_attestation, missing};
pub use raw::RawManifest;
pub use schema1::{Ancestor, Schema1, Schema1History, Schema1Layer};
pub use view::Manifest;

use crate::error::{Error, ErrorKind};

fn invalid(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid).detail(format!("not a valid manifest: {e}"))
}

/// 8 MiB: twice the limit of the registry `distribution`, so that all its manifests can be read.
pub const MANIFEST_LIMIT: usize = 8 << 20;

#[cfg(test)]
mod tests;
