//! The v1 API, waited for: see [`v1`](crate::v1).
//!
//! ```no_run
//! # fn example() -> longshore::Result<()> {
//! let client = longshore::blocking::Client::new();
//! let registry = client.v1(&"old.example:5000".parse()?);
//! for found in registry.search("busybox") {
//!     println!("{}", found?.name);
//! }
//! let repository = registry.repository(&"library/busybox".parse()?)?;
//! let id = repository.tag(&longshore::Tag::latest())?;
//! println!("{:?}", repository.image(&id).ancestry()?);
//! # Ok(())
//! # }
//! ```

mod image;
mod layer;
mod registry;
mod repository;

pub use image::Image;
pub use layer::Layer;
pub use registry::Registry;
pub use repository::Repository;
