//! The compiled part of the Python package `longshore`, the module `longshore._core`.
//!
//! It contains the operations, and no public API: the classes that users see are in
//! `python/longshore`. An operation is an [`Operation`](operation::Operation), which Python waits
//! for with or without asyncio, so each operation exists once here. Values cross the border as
//! texts, bytes and JSON documents.

#![allow(
    clippy::needless_pass_by_value,
    reason = "functions that Python calls get values, because they outlive the caller's borrow"
)]

mod auth;
mod blob;
mod client;
mod content;
mod event_loop;
mod failure;
mod interpreter;
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

use pyo3::prelude::pymodule;

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

    use std::ffi::OsString;

    use pyo3::prelude::{
        Bound, PyAnyMethods as _, PyModule, PyModuleMethods as _, PyResult, Python, pyfunction,
    };
    use pyo3::wrap_pyfunction;

    /// Runs the program `longshore` with a command line, whose first word is its name. Returns the
    /// exit code.
    #[pyfunction]
    fn run_program(py: Python<'_>, words: Vec<OsString>) -> u8 {
        py.detach(|| longshore_cli::run(words))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let finish = wrap_pyfunction!(crate::interpreter::finish, module)?;
        module.py().import("atexit")?.call_method1("register", (finish,))?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
