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
//! [`Registry`] needs no socket: it is a [`tower_service::Service`] to mount in another server or
//! to call, and [`Registry::repositories`] hands out its repositories as the stores that
//! `longshore_core` copies between. [`DiskStorage`] keeps them in a folder that survives `kill -9`;
//! [`MemoryStorage`] keeps them in memory; with the feature `object-store`, `ObjectStorage` keeps them
//! in S3, Google Cloud Storage or Azure; [`Storage`] is yours to write. [`Access`] decides who may
//! do what.
//!
//! From the bottom up; a module uses only those above it:
//!
//! | modules | hold |
//! |---|---|
//! | `limits`, `location`, `query`, `range`, `random` | numbers, grammars, names that nobody can guess |
//! | `pace`, `budget`, `locks` | how long clients may take, and what they share |
//! | `storage` | objects under keys: the traits, memory, folders |
//! | `repositories` | tags, manifests, referrers, blobs and upload sessions, made of objects |
//! | `route`, `request_body`, `access`, `answered` | a request's path, its body, its caller, its end |
//! | `response_body`, `reply` | bodies and errors on their way out |
//! | `handler` | the end-points |
//! | `registry` | the service |
//! | `serve` | connections |
//! | `test_registry` | a registry that a test starts by one call |

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
