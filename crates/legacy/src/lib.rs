//! The oldest protocols of container registries, on top of the crate `longshore`.
//!
//! Owns what no registry of today needs: [`v1`] is Docker's first API. What it sends goes through a
//! [`Client`](longshore::Client), so credentials, attempts, redirects and limits are those of every other
//! request.

pub mod v1;
