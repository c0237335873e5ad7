//! The oldest protocols of container registries, on top of the crate `longshore`.
//!
//! Owns what no registry of today needs: [`v1`] is Docker's first API, [`schema1`] signs Docker's first
//! manifests. Requests go through a [`Client`](longshore::Client), so credentials, attempts, redirects
//! and limits are those of every other request.

pub mod schema1;
pub mod v1;
