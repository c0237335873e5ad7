//! The compiled part of the Python package `longshore`, the module `longshore._core`.
//!
//! It contains the operations, and no public API: the classes that users see are in
//! `python/longshore`. An operation is an [`Operation`](operation::Operation), which Python waits
//! for with or without asyncio, so each operation exists once here. Values cross the border as
//! texts, bytes and JSON documents.

mod auth;
mod blob;
mod client;
mod content;
mod failure;
mod manifest;
mod names;
mod operation;
mod pages;
mod repository;
mod runtime;
mod serve;
mod settings;
mod transfer;
mod upload;
mod v1;

use pyo3::prelude::*;

/// The compiled part of the package `longshore`. Use the package, not this module.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::auth::Credential;
    #[pymodule_export]
    use crate::blob::Reader;
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::content::{Feed, File, Meter};
    #[pymodule_export]
    use crate::manifest::{SigningKey, describe, parse_config, sign, verify};
    #[pymodule_export]
    use crate::names::{Hasher, parse_digest, parse_platform, parse_reference, parse_tag};
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::pages::Pages;
    #[pymodule_export]
    use crate::repository::Repository;
    #[pymodule_export]
    use crate::serve::{Server, serve};
    #[pymodule_export]
    use crate::upload::Upload;
    #[pymodule_export]
    use crate::v1::{Image as V1Image, Registry as V1Registry, Repository as V1Repository};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
