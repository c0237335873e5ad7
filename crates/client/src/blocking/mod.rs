//! The library without async. It has the same operations, which return when they are complete.
//!
//! Listings are iterators here, and blobs are readers. The table below maps async items to the
//! items here. References, manifests, settings and errors have the same types in both.
//!
//! ```no_run
//! use std::io::Read as _;
//! use longshore::graph::Successors;
//! use longshore::{Client, DockerConfig, Reference};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().credentials(DockerConfig::load()?).build_blocking();
//! let image = Reference::familiar("ghcr.io/example/app:v1")?.or_latest();
//! let repository = client.repository(image.repository());
//!
//! for tag in repository.tags(None) {
//!     println!("{}", tag?);
//! }
//! let manifest = repository.manifest(image.selector())?;
//! for blob in Successors::of(&manifest)?.blobs {
//!     let mut content = Vec::new();
//!     repository.blob(&blob)?.read_to_end(&mut content)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | async | here |
//! |---|---|
//! | `Client`, `ClientBuilder::build` | [`Client`], [`build_blocking`](crate::ClientBuilder::build_blocking) |
//! | `Stores` | [`Stores`] |
//! | a store, and the functions over stores: `add_tags(&store, ..)` | [`Store`], its methods: `store.add_tags(..)` |
//! | `Pages` | [`Listing`], an iterator |
//! | `BlobReader`, `BlobStream` | [`BlobReader`], [`BlobStream`], both [`Read`](std::io::Read) |
//! | a stream to be sent | a reader: `push_reader` replaces `push_stream`; [`body`] and [`stream`] convert a reader |
//! | `Copier`, `Upload`, `CachedListing`, `RawReply` | the same names |
//! | credential stores and helpers | [`CredentialStore`] |
//! | [`blob_file`](crate::blob_file) | [`blob_file`] |
//!
//! This module owns the thread that drives all connections. The first call starts the thread. Use
//! [`wait`] for async functions without a blocking form. [`Store::new`] accepts every store,
//! [`Listing::from`] converts listings to iterators, and [`BlobStream::from`] converts streams to
//! readers.
//!
//! ```
//! use longshore::blocking::{Store, wait};
//! use longshore::{OciArchive, OciArchiveWriter, Pack, Tag};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("notes.tar");
//! let archive = Store::new(wait(OciArchiveWriter::create(&path))?);
//! let notes = Pack::artifact("text/plain".parse()?).file("notes", "hello");
//! archive.push_pack(notes, Some(&Tag::latest()))?;
//! archive.finish()?;
//!
//! let archive = Store::new(wait(OciArchive::open(&path))?);
//! assert_eq!(archive.tags(None).all()?, [Tag::latest()]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blob;
mod client;
mod credentials;
mod forward;
mod listing;
mod remote;
mod runtime;
mod store;
mod stores;

pub use blob::{BlobReader, BlobStream, blob_file, body, stream};
pub use client::{Client, RawReply};
pub use credentials::CredentialStore;
pub use listing::{CachedListing, Listing};
pub use remote::Upload;
pub use runtime::wait;
pub use store::Store;
pub use stores::{Copier, Stores};

/// A repository at a registry, with blocking operations.
pub type RemoteRepository = Store<crate::RemoteRepository>;
