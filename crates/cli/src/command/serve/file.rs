//! Reads small configuration files of the server.

use std::io::Read as _;
use std::path::Path;

use longshore::{Error, ErrorKind, Result};

/// Reads a whole file. The path may be a symbolic link, as for many certificates, or a pipe.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let at = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound).at(path.display()),
        _ => Error::io(path, e),
    };
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(at)?;
    file.take(LIMIT + 1).read_to_end(&mut content).map_err(at)?;
    if content.len() as u64 > LIMIT {
        return Err(Error::larger_than(LIMIT).at(path.display()));
    }
    Ok(content)
}

/// 4 MiB: enough for about 50,000 users. Certificate chains are far smaller.
const LIMIT: u64 = 4 << 20;
