//! The v1 API, for registries and indexes that support no other API.
//!
//! Owns the requests of Docker's Registry API v1 and of the part of the Index API that clients
//! need, and parses the replies. The [`Client`](longshore::Client) sends these requests like all
//! others. A v1 registry stores images that have one layer and at most one parent. It has no
//! manifests, so [`Registry`] does not implement the store traits.
//!
//! ```no_run
//! # async fn example() -> longshore::Result<()> {
//! use longshore_legacy::v1::Registry;
//!
//! let registry = Registry::new(&longshore::Client::new(), &"old.example:5000".parse()?);
//! let repository = registry.repository(&"library/busybox".parse()?)?;
//! for tagged in repository.tags().await? {
//!     println!("{} {:?}", tagged.tag, tagged.id);
//! }
//! let id = repository.tag(&longshore::Tag::latest()).await?;
//! println!("{:?}", repository.image(&id).ancestry().await?);
//! # Ok(())
//! # }
//! ```

mod api_version;
pub mod blocking;
mod image;
mod image_id;
mod layer;
mod registry;
mod repository;
mod search;
mod site;
mod token;

pub use api_version::{ApiVersion, api_version};
pub use image::{Image, ImageJson};
pub use image_id::ImageId;
pub use layer::Layer;
pub use registry::{Ping, Registry};
pub use repository::{Listed, Repository, Tagged};
pub use search::Found;
pub use token::{Access, Endpoints};
