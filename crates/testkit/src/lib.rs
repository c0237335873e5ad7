//! Tools for the tests of longshore.
//!
//! ```
//! use longshore_core::Memory;
//! use longshore_testkit::{delete_suite, suite::Fresh};
//!
//! // One line tests a new store: the suite has a test for each rule of the store traits.
//! delete_suite!(memory, async || Fresh::of(Memory::new()));
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`suite`] | the contract of the store traits, as tests that every store runs |
//! | [`fixture`], [`random`] | images, generated or packed from real files; seeded bytes |
//! | [`script`] | a server that expects exact requests, in order |
//! | [`v1`] | a registry that supports only the v1 API |
//! | [`frames`] | an HTTP/2 client that writes single frames |
//! | [`fault`] | a proxy that injects network faults |
//! | [`wait_log`] | the waits reported during a test |
//! | [`tls`], [`proxy`] | certificates and a front that terminates TLS; HTTP and SOCKS5 proxies |
//! | [`peer`], [`process`] | third-party programs, started, awaited, and ended by process id |
//!
//! The name of a test that needs a peer contains the peer's name with `_` for `-`, as in
//! `docker_registry_answers_and_ends_when_dropped`. If the peer is missing, `cargo xtask test`
//! skips the test by its name, and reports that it was skipped.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and this crate is only for tests"
)]

pub mod fault;
pub mod fixture;
pub mod frames;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod script;
pub mod tls;
pub mod v1;
pub mod wait_log;

pub use longshore_core::test_suite::{self as suite, random};
pub use longshore_core::{delete_suite, target_suite};
