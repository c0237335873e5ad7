//! The oldest protocols of container registries, on top of the crate `longshore`.
//!
//! Owns the protocols that current registries do not need: [`v1`] is Docker's first API,
//! [`schema1`] signs Docker's first manifests. Requests go through a [`Client`](longshore::Client),
//! with the credentials, retries, redirects and limits of every other request.

pub mod schema1;
pub mod v1;
