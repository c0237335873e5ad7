//! Tools for the tests of longshore.
//!
//! ```
//! use longshore_core::Memory;
//! use longshore_testkit::{delete_suite, suite::Fresh};
//!
//! // A new store is one line: every sentence of the store traits' contract becomes a test.
//! delete_suite!(memory, async || Fresh::of(Memory::new()));
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`suite`] | the contract of the store traits, as tests that every store runs |
//! | [`fixture`], [`random`] | images, made up or out of real files; seeded bytes |
//! | [`script`] | a server that expects exact requests, in order |
//! | [`v1`] | a registry that speaks the v1 API and no other |
//! | [`frames`] | a client that writes HTTP/2 frame by frame |
//! | [`fault`] | a proxy that breaks connections as networks do |
//! | [`wait_log`] | the reported waits |
//! | [`tls`], [`proxy`] | certificates and a front that ends TLS; HTTP and SOCKS5 proxies |
//! | [`peer`], [`process`] | third-party programs, started, awaited, and ended by process id |
//!
//! A test that needs a peer has the peer's name in its own (`skopeo_pulls_what_we_push`), with `_`
//! for `-`: `cargo xtask test` uses it to skip the test, and says so, if the peer is missing.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a failed test is a panic, and here is nothing but tests"
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
