//! `cargo xtask setup`: installs the requirements of checks and tests that cargo does not provide.

use crate::failure::Failure;
use crate::python::{PACKAGE, PREDECESSORS};
use crate::{peers, tools};

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
    for environment in [PREDECESSORS, PACKAGE] {
        if let Err(failure) = environment.set_up() {
            let name = environment.name;
            missing.push(Failure::new(format!("the Python environment `{name}`: {failure}")));
        }
    }
    Failure::unless_empty(&missing)
}
