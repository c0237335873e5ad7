//! Fuzz targets for the parsers of untrusted input.
//!
//! A target takes any bytes and asserts properties of every input. For example, nothing panics, a
//! parsed value can be printed and parsed again to the same value, or the result is no larger than
//! the input.
//! The same targets run under libFuzzer (`fuzz_targets/`) and under a small driver that works on
//! stable Rust (`main.rs`). `cargo xtask fuzz` uses libFuzzer if it is installed.

pub mod mutate;
pub mod target;
