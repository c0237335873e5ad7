//! Runs the program with arguments, and checks stdout, stderr and the exit code.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod answers;
mod artifacts;
mod attached;
mod blobs;
mod cache;
mod crash;
mod credentials;
mod described;
mod documented;
mod engines;
mod exits;
mod fan_out;
mod faults;
mod guards;
mod images;
mod kill;
mod listings;
mod manifests;
mod migrating;
mod names;
mod network;
mod parallel;
mod parity;
mod peers;
mod plans;
mod program;
mod refusals;
mod request;
mod resume;
#[cfg(feature = "legacy")]
mod schema1;
mod serve;
mod streams;
mod trace;
mod transfers;
#[cfg(feature = "legacy")]
mod v1;
mod waits;
