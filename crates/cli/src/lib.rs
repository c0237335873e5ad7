//! The program `longshore`, which copies, pulls, pushes and serves container images and other OCI
//! artifacts.
//!
//! [`run`] runs a command line. Data is written to stdout, and messages to stderr. It is a library
//! because the Python package contains the program, too.

mod arguments;
mod authentication;
mod command;
mod complete;
mod context;
mod defaults;
mod dispatch;
mod exit;
mod given;
mod global;
mod guard;
mod help;
mod input;
mod message;
mod network;
mod output;
mod program;
mod progress;
mod selection;
mod signal;
mod table;
mod template;
mod trace;
mod transfer;
mod version_order;

pub use program::run;
