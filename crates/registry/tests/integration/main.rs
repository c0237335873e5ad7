//! Tests of the registry through its service, many of them on every storage, and over TCP.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod access;
mod answered;
mod concurrency;
mod conditions;
mod conformance;
mod durability;
mod harness;
mod hostile;
mod listener;
mod listing;
mod objects;
mod offers;
mod referrers;
mod schema1;
mod slow;
mod space;
mod store;
mod upload;
mod wire;
