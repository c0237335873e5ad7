//! Tests the v1 API, compares aysa's client with longshore, and runs the examples for users of the
//! earlier clients.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod aysa;
#[path = "../../../client/tests/integration/clients.rs"]
mod clients;
mod docker_content;
mod examples;
mod v1;
mod v1_blocking;

use std::net::SocketAddr;

use longshore_registry::{RegistryBuilder, TestRegistry};

use self::clients::{login, quick, remote};

/// Starts a registry on a free port. The registry stops when the second value is dropped.
async fn start(registry: RegistryBuilder) -> (SocketAddr, TestRegistry) {
    let registry = TestRegistry::start_with(|_| registry).await.unwrap();
    (registry.address(), registry)
}
