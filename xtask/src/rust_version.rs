//! The oldest Rust that builds the workspace: no dependency may need a newer one than it states.

use crate::failure::Failure;
use crate::metadata::{Metadata, Package};

/// Holds every dependency's `rust-version` against each member's.
pub(crate) fn run() -> Result<(), Failure> {
    let metadata = Metadata::load()?;
    let Some(stated) = metadata.members().filter_map(stated).min() else {
        return Err(Failure::new("the workspace states no rust-version"));
    };
    let newer: Vec<String> =
        metadata.dependencies().filter_map(|package| complaint(package, stated)).collect();
    Failure::unless_empty(&newer)?;
    let (major, minor) = stated;
    println!("every dependency builds with Rust {major}.{minor}");
    Ok(())
}

fn complaint(package: &Package, workspace: (u32, u32)) -> Option<String> {
    let needed = stated(package)?;
    (needed > workspace).then(|| {
        format!(
            "{} {} needs Rust {}.{}, the workspace states {}.{}: raise its rust-version, or take an older version",
            package.name, package.version, needed.0, needed.1, workspace.0, workspace.1
        )
    })
}

fn stated(package: &Package) -> Option<(u32, u32)> {
    parse(package.rust_version.as_deref()?)
}

/// Reads `1.89` or `1.89.0`. The third part is left out: fixes do not change what builds.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().unwrap_or(Some(0))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (text, version) in
            [("1.89", Some((1, 89))), ("1.9.1", Some((1, 9))), ("2", Some((2, 0))), ("next", None)]
        {
            assert_eq!(parse(text), version, "{text}");
        }
        assert!(parse("1.9") < parse("1.89"));
    }
}
