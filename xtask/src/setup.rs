//! `cargo xtask setup`: installs the requirements of checks and tests that cargo does not provide.

use crate::failure::Failure;
use crate::{peers, python_clients, tools};

/// Installs all requirements, as far as possible.
///
/// # Errors
/// Lists the missing requirements, one per line.
pub(crate) fn run() -> Result<(), Failure> {
    let tools = [tools::FMT.set_up(), tools::CLIPPY.set_up()];
    let tools = tools.into_iter().filter_map(Result::err);
    let peers = peers::set_up();
    let peers = peers.iter().map(|peer| Failure::new(format!("{} is not installed", peer.program)));
    let mut missing: Vec<Failure> = tools.chain(peers).collect();
    if let Err(failure) = python_clients::set_up() {
        missing.push(Failure::new(format!("the earlier clients, in Python: {failure}")));
    }
    Failure::unless_empty(&missing)
}
