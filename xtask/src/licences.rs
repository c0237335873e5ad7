//! Allowed dependencies: `deny.toml`, checked by cargo-deny or by a small substitute.
//!
//! Continuous integration runs cargo-deny itself. Installing it takes minutes, so without it,
//! licences and banned crates are checked here, from the same file: a forbidden dependency is found
//! before it is pushed.

use std::iter::Peekable;
use std::process::Command;
use std::str::SplitWhitespace;

use crate::failure::Failure;
use crate::metadata::{Metadata, Package};
use crate::step::{succeed, works};

/// Checks every dependency against `deny.toml`, and prints the checker's name.
pub(crate) fn run() -> Result<(), Failure> {
    if works("cargo", &["deny", "--version"]) {
        println!("checked by cargo-deny: licences, bans, duplicates");
        let mut deny = Command::new("cargo");
        return succeed(deny.args(["deny", "--offline", "check", "licenses", "bans"]));
    }
    println!("cargo-deny is not installed: licences and bans are checked by xtask itself");
    let text = std::fs::read_to_string(POLICY_FILE)
        .map_err(|e| Failure::new(format!("{POLICY_FILE}: {e}")))?;
    let policy = Policy::parse(&text)?;
    let metadata = Metadata::load()?;
    let complaints: Vec<String> =
        metadata.dependencies().filter_map(|package| policy.complaint(package)).collect();
    Failure::unless_empty(&complaints)?;
    println!("{} packages are in order", metadata.dependencies().count());
    Ok(())
}

/// The parts of `deny.toml` that the substitute reads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Policy {
    allowed: Vec<String>,
    banned: Vec<Ban>,
}

#[derive(Debug, PartialEq, Eq)]
struct Ban {
    name: String,
    reason: String,
}

impl Policy {
    /// Parses the list `allow` of `[licenses]`, one string per line, and the tables of `deny` in
    /// `[bans]`, one table per line: not all of TOML, but all of our file.
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut policy = Self::default();
        let mut list = "";
        for line in text.lines().map(str::trim) {
            match line {
                "[licenses]" | "[bans]" | "]" => list = "",
                "allow = [" => list = "allow",
                "deny = [" => list = "deny",
                _ if line.starts_with('#') => {}
                _ if list == "allow" => policy.allowed.extend(quoted(line).map(str::to_owned)),
                _ if list == "deny" => {
                    let mut strings = quoted(line);
                    policy.banned.push(Ban {
                        name: strings.next().unwrap_or_default().to_owned(),
                        reason: strings.next().unwrap_or_default().to_owned(),
                    });
                }
                _ => {}
            }
        }
        if policy.allowed.is_empty() || policy.banned.is_empty() {
            return Err(Failure::new(format!(
                "{POLICY_FILE}: no allowed licences or no bans found, one a line"
            )));
        }
        Ok(policy)
    }

    fn complaint(&self, package: &Package) -> Option<String> {
        let Package { name, version, .. } = package;
        if let Some(ban) = self.banned.iter().find(|ban| ban.name == *name) {
            return Some(format!("{name} {version} is banned: {}", ban.reason));
        }
        let licence = package.license.as_deref().unwrap_or("");
        (!self.allows(licence)).then(|| {
            let licence = if licence.is_empty() { "no licence" } else { licence };
            format!("{name} {version} has {licence}, which {POLICY_FILE} does not allow")
        })
    }

    /// Returns true if an SPDX expression can be satisfied. `/` is an older form of `OR`.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words = spaced.split_whitespace().peekable();
        self.any(&mut words) && words.next().is_none()
    }

    fn any(&self, words: &mut Peekable<SplitWhitespace<'_>>) -> bool {
        let mut satisfied = self.each(words);
        while words.next_if_eq(&"OR").is_some() {
            satisfied |= self.each(words);
        }
        satisfied
    }

    fn each(&self, words: &mut Peekable<SplitWhitespace<'_>>) -> bool {
        let mut satisfied = self.one(words);
        while words.next_if_eq(&"AND").is_some() {
            satisfied &= self.one(words);
        }
        satisfied
    }

    fn one(&self, words: &mut Peekable<SplitWhitespace<'_>>) -> bool {
        let Some(word) = words.next() else {
            return false;
        };
        if word == "(" {
            let satisfied = self.any(words);
            return words.next() == Some(")") && satisfied;
        }
        let mut licence = word.to_owned();
        if words.next_if_eq(&"WITH").is_some() {
            licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
        }
        self.allowed.contains(&licence)
    }
}

/// Returns the double-quoted strings in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

const POLICY_FILE: &str = "deny.toml";

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::parse(
            "[licenses]\nallow = [\n  \"MIT\",\n  \"Zlib\", # why\n  \"Apache-2.0 WITH LLVM-exception\",\n]\n\
             [bans]\nmultiple-versions = \"deny\"\ndeny = [\n  { crate = \"openssl-sys\", reason = \"use rustls\" },\n]\n",
        )
        .unwrap()
    }

    #[test]
    fn expressions_are_satisfied_or_not() {
        for (expression, allowed) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(GPL-3.0 OR MIT) AND Zlib", true),
            ("(GPL-3.0 OR MIT) AND GPL-3.0", false),
            ("GPL-3.0 OR MIT AND Zlib", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT)", false),
            ("", false),
        ] {
            assert_eq!(policy().allows(expression), allowed, "{expression}");
        }
    }

    #[test]
    fn a_banned_crate_is_told_why() {
        let package: Package = serde_json::from_value(serde_json::json!({
            "id": "x", "name": "openssl-sys", "version": "1.0.0",
            "license": "MIT", "manifest_path": "x",
        }))
        .unwrap();
        let told = policy().complaint(&package);
        assert_eq!(told.unwrap(), "openssl-sys 1.0.0 is banned: use rustls");
    }

    #[test]
    fn the_projects_own_file_is_understood() {
        let text = std::fs::read_to_string(crate::metadata::root().join(POLICY_FILE)).unwrap();
        let policy = Policy::parse(&text).unwrap();
        assert!(policy.allows("MIT OR Apache-2.0"));
        let banned: Vec<&str> = policy.banned.iter().map(|ban| ban.name.as_str()).collect();
        assert!(banned.contains(&"openssl-sys"), "{banned:?}");
        assert!(policy.banned.iter().all(|ban| !ban.reason.is_empty()));
    }
}
