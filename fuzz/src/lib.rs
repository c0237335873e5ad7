//! Fuzz targets for everything that longshore reads of strangers' bytes.
//!
//! A target takes any bytes and asserts what must be true of every input: nothing panics, what was read
//! can be printed and read again as the same, and what comes out is no larger than what went in. The
//! same targets run under libFuzzer (`fuzz_targets/`) and under a small driver that needs no nightly
//! Rust (`main.rs`). `cargo xtask fuzz` starts either.

pub mod mutate;
pub mod target;
