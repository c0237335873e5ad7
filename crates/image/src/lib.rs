//! The content of images: compression, layers, and images in tar files.
//!
//! ```
//! use std::sync::Arc;
//! use longshore_core::{Copier, Memory, Pack, Source as _, Tag, Target as _};
//! use longshore_image::{OciArchive, OciArchiveWriter};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("hello.tar");
//! # tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
//! let (memory, v1) = (Memory::new(), Tag::parse("v1")?);
//! let packed = Pack::artifact("text/plain".parse()?).file("hello.txt", "hello").push(&memory, Some(&v1)).await?;
//!
//! let archive = OciArchiveWriter::create(&path).await?;
//! let copier = Copier::new(Arc::new(memory), Arc::new(archive.clone()));
//! copier.copy(&v1.clone().into(), Some(&v1)).await?;
//! archive.finish().await?;
//!
//! let read = OciArchive::open(&path).await?;
//! assert_eq!(read.resolve(&v1.into()).await?.digest, packed.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate `longshore` re-exports all of this, and its `blocking::wait` runs the async functions
//! from code that is not async.
//!
//! The modules, from the bottom up. Each module uses only the modules above it in this table.
//!
//! | modules | content |
//! |---|---|
//! | `compression` | gzip and zstd, decompressed within limits |
//! | `file_range` | sections of a file, read in place |
//! | `spool`, `staging` | opening an archive; storing blobs until an archive is written |
//! | `tar_index`, `tar_file` | tar files, read strictly and written reproducibly |
//! | `oci_archive`, `docker_archive` | the stores |
//! | `layer`, `append` | the content of a layer; adding layers |
//! | `folder` | packing a folder into a layer, and unpacking it |

mod append;
mod compression;
mod docker_archive;
mod file_range;
mod folder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod layer;
mod oci_archive;
mod spool;
mod staging;
mod tar_file;
mod tar_index;

pub use append::{Append, AppendResult};
pub use compression::{Compression, Decoder, UnpackLimits, error_of};
pub use docker_archive::{DockerArchive, DockerArchiveWriter};
pub use folder::{FolderArchive, unpack_folder};
pub use layer::{UnpackResult, measure_layer, unpack};
pub use oci_archive::{OciArchive, OciArchiveWriter};
