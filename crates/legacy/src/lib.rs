//! The oldest protocols of container registries, on top of the crate `longshore`.
//!
//! Owns the protocols that current registries do not need: [`v1`] is Docker's first API, and
//! [`schema1`] signs and verifies Docker's first manifests. A [`Client`](longshore::Client) sends
//! the requests, with the credentials, retries, redirects and limits of every other request.

pub mod schema1;
pub mod v1;
