//! The library without async: the same operations, which return when they are done.
//!
//! Listings are iterators here, and blobs are readers. The words are those of the async library, and
//! so is everything that is no operation: names, manifests, settings, errors.
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
//! let manifest = repository.manifest(&image.selector().ok_or("no tag")?)?;
//! for blob in Successors::of(&manifest)?.blobs {
//!     let mut content = Vec::new();
//!     repository.blob(&blob)?.read_to_end(&mut content)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Owns the one thread that drives all connections, started by the first call, and the wait for it.
//! Whatever has no function of its own here is reached by [`wait`]: listings become iterators by
//! [`Listing::from`], streams become readers by [`BlobStream::from`].

mod blob;
mod cached;
mod client;
mod copier;
mod listing;
mod raw;
mod remote;
mod runtime;
mod store;
mod tagging;
mod upload;

pub use blob::{BlobReader, BlobStream, body};
pub use cached::Cached;
pub use client::Client;
pub use copier::Copier;
pub use listing::Listing;
pub use raw::RawReply;
pub use runtime::wait;
pub use store::Store;
pub use upload::Upload;

/// A repository at a registry, its operations waited for.
pub type RemoteRepository = Store<crate::RemoteRepository>;
