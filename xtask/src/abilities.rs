//! Capabilities of the machine that some tests need and that no package provides.
//!
//! Owns the list of capabilities, and the report of the tests that are skipped without them.

use std::net::TcpListener;

use crate::step::works;

/// A capability of the machine.
#[derive(Debug)]
pub(crate) struct Ability {
    name: &'static str,
    /// Tests with this text in their name need the capability.
    pub(crate) in_test_names: &'static str,
    is_here: fn() -> bool,
}

const ABILITIES: [Ability; 2] = [
    Ability { name: "IPv6 on loopback", in_test_names: "over_ipv6", is_here: has_ipv6 },
    Ability {
        name: "permission to replace system files for one process",
        in_test_names: "with_own_files",
        is_here: may_mount,
    },
];

/// Returns the missing capabilities.
pub(crate) fn missing() -> Vec<&'static Ability> {
    ABILITIES.iter().filter(|ability| !(ability.is_here)()).collect()
}

/// Returns the report on a missing capability.
pub(crate) fn left_out(ability: &Ability) -> String {
    format!(
        "this machine lacks {}: tests with `{}` in their name did not run",
        ability.name, ability.in_test_names
    )
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

fn may_mount() -> bool {
    works("unshare", &["--mount", "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"])
}
