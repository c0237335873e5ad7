//! Names, digests, manifests, verified streams, stores and the copy engine of longshore.
//!
//! Nothing here speaks HTTP; the crate `longshore` adds registries and re-exports all of this.
//!
//! ```
//! use std::sync::Arc;
//! use longshore_core::{Copier, Memory, Pack, Source as _, Tag};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (here, there) = (Memory::new(), Memory::new());
//! let v1 = Tag::parse("v1")?;
//! let packed = Pack::artifact("text/plain".parse()?).file("hello.txt", "hello").push(&here, Some(&v1)).await?;
//!
//! let copier = Copier::new(Arc::new(here), Arc::new(there.clone()));
//! copier.copy(&v1.clone().into(), Some(&v1)).await?;
//! assert_eq!(there.resolve(&v1.into()).await?.digest, packed.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the bottom up; a module uses only those above it:
//!
//! | modules | content |
//! |---|---|
//! | `error`, `printable`, `json`, `field` | errors, foreign text, foreign JSON |
//! | `filter` | choosing names |
//! | `digest`, `media_type`, `platform`, `annotations` | the vocabulary of documents |
//! | `offload`, `wait` | blocking work in async code, and messages about long waits |
//! | `descriptor`, `reference` | references to content, by digest and by name |
//! | `manifest`, `page`, `cached`, `namespaces` | documents and listings |
//! | `blob`, `store`, `blob_file` | streams, the traits of all stores, and writing blobs to files |
//! | `graph`, `image` | the children of a manifest; an image |
//! | `choice` | choosing an image |
//! | `memory`, `layout` | stores without a network |
//! | `copy`, `pack`, `files`, `tagging`, `untag` | operations on stores |
//! | `test_suite` | the contract of the store traits, as tests |

mod annotations;
mod blob;
pub mod blob_file;
mod cached;
mod choice;
mod copy;
mod descriptor;
mod digest;
mod error;
mod field;
mod files;
mod filter;
pub mod graph;
mod image;
mod json;
mod layout;
mod manifest;
mod media_type;
mod memory;
mod namespaces;
mod offload;
mod pack;
mod page;
mod platform;
mod printable;
mod reference;
mod store;
mod tagging;
#[cfg(feature = "test-suite")]
pub mod test_suite;
mod untag;
pub mod wait;

pub use annotations::Annotations;
pub use blob::{BlobBody, BlobReader, BlobStream, Measure, PIECE, Progress};
pub use cached::Cached;
pub use choice::{image_for, images_of};
pub use copy::{
    Copier, CopierBuilder, CopyEvent, CopyOptions, CopyPlan, CopySummary, PlannedAction,
    PlannedStep, TagOutcome, Tally,
};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Digester, Verifier};
pub use error::{Error, ErrorCode, ErrorKind, ParseError, RegistryError, Result, Side};
pub use field::field;
pub use files::{Folders, Placed, files_of, placed, pull_files};
pub use filter::Filter;
pub use image::{Image, ImageLayer, Step};
pub use layout::{Layout, listing};
pub use manifest::{
    Ancestor, ArtifactManifest, CONFIG_LIMIT, ContainerConfig, History, ImageConfig, ImageManifest,
    Index, MANIFEST_LIMIT, Manifest, RawManifest, RootFs, Schema1, Schema1History, Schema1Layer,
    canonical_json,
};
pub use media_type::MediaType;
pub use memory::Memory;
pub use namespaces::Namespaces;
pub use offload::offload;
pub use pack::Pack;
pub use page::{Page, PageToken, Pages};
pub use platform::Platform;
pub use printable::Printable;
pub use reference::{
    Defaults, ManifestReference, Reference, RegistryName, Repository, RepositoryName, Tag,
    TagOrDigest,
};
pub use store::{Delete, Holding, Node, Pushed, Source, SourceExt, Target, TargetExt};
pub use tagging::{Deleted, delete_with_tags, put_tags, tags_of};
pub use untag::{Untagged, untag};
