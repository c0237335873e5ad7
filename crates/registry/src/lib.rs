//! An embeddable container registry: OCI distribution-spec 1.1 as a tower service.
//!
//! ```
//! use longshore_registry::{Registry, serve};
//! use tokio::net::TcpListener;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let registry = Registry::builder().memory().build()?;
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! println!("push to {}/my/image:v1", listener.local_addr()?);
//!
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(serve(listener, registry, async { drop(stopped.await) }));
//! // … push and pull with any client …
//! drop(stop);
//! server.await??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Registry`] needs no socket: it is a [`tower_service::Service`] that another server can mount
//! or a program can call. [`Registry::repositories`] returns the repositories as stores, and
//! `longshore_core` can copy between stores. [`DiskStorage`] stores repositories in a folder whose
//! content survives `kill -9`, and [`MemoryStorage`] stores them in memory. With the feature
//! `object-store`, `ObjectStorage` stores them in S3, Google Cloud Storage or Azure. You can also
//! implement [`Storage`] yourself. An [`Access`] policy decides which requests are allowed.
//!
//! The modules, from the lowest layer up. Each module uses only modules that are above it in this
//! table, or before it in the same row.
//!
//! | modules | content |
//! |---|---|
//! | `limits`, `location`, `query`, `range`, `random` | limits, locations, queries, ranges, ids |
//! | `pace`, `budget`, `locks` | time limits for clients, and the resources that they share |
//! | `storage` | objects under keys: the traits, memory, folders, object stores |
//! | `repositories` | tags, manifests, referrers, blobs and upload sessions, stored as objects |
//! | `route`, `request_body`, `access`, `answered` | path, body, caller and report of a request |
//! | `response_body`, `reply` | outgoing bodies and errors |
//! | `handler` | the endpoints |
//! | `registry` | the service |
//! | `serve` | connections |
//! | `test_registry` | a registry for tests, started by one call |

mod access;
mod answered;
mod budget;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod limits;
mod location;
mod locks;
mod pace;
mod query;
mod random;
mod range;
mod registry;
mod reply;
mod repositories;
mod request_body;
mod response_body;
mod route;
mod serve;
mod storage;
mod test_registry;

pub use access::{
    Access, AccessRequest, Action, Decision, EndpointReply, Htpasswd, Open, Permissions, Resource,
    Tokens, Users,
};
pub use answered::Answered;
pub use limits::RegistryLimits;
pub use registry::{Registry, RegistryBuilder};
pub use repositories::{Chunk, Repositories, Repository, Usage};
pub use response_body::Body;
pub use serve::{Accepted, Listener, serve};
#[cfg(feature = "object-store")]
pub use storage::ObjectStorage;
pub use storage::{
    Checkpoint, Condition, DiskStorage, Key, MemoryStorage, Meta, OBJECT_LIMIT, Object, Part,
    Storage, Upload, UploadId, Version,
};
pub use test_registry::TestRegistry;

/// The README of this crate, included here so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
