//! Names, digests, manifests, verified streams, stores and the copy engine of longshore.
//!
//! This crate does not use HTTP. The crate `longshore` adds registries and re-exports this crate.
//!
//! ```
//! use std::sync::Arc;
//! use longshore_core::{Copier, Memory, Pack, Source as _, Tag};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (source, target) = (Memory::new(), Memory::new());
//! let v1 = Tag::parse("v1")?;
//! let packed = Pack::artifact("text/plain".parse()?).file("hello.txt", "hello").push(&source, Some(&v1)).await?;
//!
//! let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
//! copier.copy(&v1.clone().into(), Some(&v1)).await?;
//! assert_eq!(target.resolve(&v1.into()).await?.digest, packed.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Apart from tests, each module uses only modules in its own row and in the rows above:
//!
//! | modules | content |
//! |---|---|
//! | `error`, `escaped_text`, `json`, `json_field` | errors, and untrusted text and JSON |
//! | `document`, `filter` | JSON documents that are edited in place; selecting names |
//! | `digest`, `media_type`, `platform`, `annotations` | the values in documents |
//! | `run_blocking`, `wait` | blocking work in async code, and messages about long waits |
//! | `descriptor`, `reference` | references to content, by digest and by name |
//! | `manifest`, `page`, `cached_listing`, `namespaces` | documents and listings |
//! | `tag_guard` | conditions on a tag that is to be set |
//! | `blob`, `store`, `blob_file` | streams, the traits of all stores, and writing blobs to files |
//! | `graph`, `image` | the children of a manifest, and images |
//! | `select` | selecting images |
//! | `memory`, `layout` | stores without a network |
//! | `copy`, `pack`, `files`, `tagging`, `untag` | operations on stores |
//! | `test_suite` | the contract of the store traits, as tests |

mod annotations;
mod blob;
pub mod blob_file;
mod cached_listing;
mod copy;
mod descriptor;
mod digest;
pub mod document;
mod error;
mod escaped_text;
mod files;
mod filter;
pub mod graph;
mod image;
mod json;
mod json_field;
mod layout;
mod manifest;
mod media_type;
mod memory;
mod namespaces;
mod pack;
mod page;
mod platform;
mod reference;
mod run_blocking;
mod select;
mod store;
mod tag_guard;
mod tagging;
#[cfg(feature = "test-suite")]
pub mod test_suite;
mod untag;
pub mod wait;

pub use annotations::Annotations;
pub use blob::{BlobBody, BlobReader, BlobStream, CHUNK_SIZE, FileBody, Progress, StreamDigest};
pub use cached_listing::CachedListing;
pub use copy::{
    Copier, CopierBuilder, CopyEvent, CopyObserver, CopyOptions, CopyPlan, CopyStats, CopySummary,
    LeftBehind, LeftBehindReason, PlannedAction, PlannedStep, PlannedTag, ReferrerSelection,
    SharedReads, TagOutcome,
};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestPair, Digester, Verifier};
pub use error::{Error, ErrorCode, ErrorKind, ParseError, RegistryError, Result, Side};
pub use escaped_text::EscapedText;
pub use files::{Folders, Placed, list_files, place_files, pull_files};
pub use filter::Filter;
pub use image::{HistoryStep, Image, ImageLayer};
pub use json_field::json_field;
pub use layout::{Layout, listing};
pub use manifest::{
    Ancestor, ArtifactManifest, CONFIG_LIMIT, ContainerConfig, History, ImageConfig, ImageManifest,
    Index, MANIFEST_LIMIT, Manifest, RawManifest, RootFs, Schema1, Schema1History, Schema1Layer,
    canonical_json,
};
pub use media_type::MediaType;
pub use memory::Memory;
pub use namespaces::Namespaces;
pub use pack::Pack;
pub use page::{Page, PageToken, Pages};
pub use platform::{AvailablePlatforms, Platform};
pub use reference::{
    Defaults, ManifestReference, Reference, RegistryName, Repository, RepositoryName, Tag,
    TagOrDigest,
};
pub use run_blocking::run_blocking;
pub use select::{Selection, list_images, read_image, select_image, select_platforms};
pub use store::{Delete, Node, Presence, Pushed, Source, SourceExt, TagState, Target, TargetExt};
pub use tag_guard::{GuardMethod, TagGuard};
pub use tagging::{DeleteResult, add_tags, delete_with_tags, tags_for_digest};
pub use untag::{UntagMethod, untag};
