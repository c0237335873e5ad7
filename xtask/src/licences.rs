//! Allowed dependencies: `deny.toml`, checked by cargo-deny or by a small substitute.
//!
//! Continuous integration runs cargo-deny. Installing cargo-deny takes minutes. If it is missing,
//! this module checks licenses, banned crates and the sources of crates with the same file, so that
//! a forbidden dependency is found before a push.

use std::iter::Peekable;
use std::process::Command;
use std::str::SplitWhitespace;

use crate::failure::Failure;
use crate::metadata::{Metadata, Package};
use crate::step::{succeed, works};

/// Checks every dependency against `deny.toml`, and prints the checker's name.
pub(crate) fn run() -> Result<(), Failure> {
    if works("cargo", &["deny", "--version"]) {
        println!("checked by cargo-deny: licenses, bans, duplicates, sources");
        for manifest in MANIFESTS {
            let mut deny = Command::new("cargo");
            deny.args([
                "deny",
                "--manifest-path",
                manifest,
                "check",
                "licenses",
                "bans",
                "sources",
            ]);
            // Both workspaces use one list of duplicates, so some entries match only in the other
            // workspace.
            succeed(deny.args(["--allow", "unmatched-skip"]))?;
        }
        return Ok(());
    }
    println!("cargo-deny is not installed: xtask itself checks licenses, bans and sources");
    let text = std::fs::read_to_string(POLICY_FILE)
        .map_err(|e| Failure::new(format!("{POLICY_FILE}: {e}")))?;
    let policy = Policy::parse(&text)?;
    for manifest in MANIFESTS {
        let mut arguments = vec!["--manifest-path", manifest];
        arguments.extend(policy.targets.iter().flat_map(|target| ["--filter-platform", target]));
        let metadata = Metadata::load_with(&arguments)?;
        let complaints: Vec<String> =
            metadata.dependencies().filter_map(|package| policy.complaint(package)).collect();
        Failure::unless_empty(&complaints)?;
        println!("{manifest}: {} packages comply", metadata.dependencies().count());
    }
    Ok(())
}

/// The parts of `deny.toml` that the substitute reads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Policy {
    targets: Vec<String>,
    allowed: Vec<String>,
    exceptions: Vec<Exception>,
    banned: Vec<Ban>,
}

/// Licenses that are allowed for one package.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    name: String,
    allowed: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Ban {
    name: String,
    reason: String,
}

impl Policy {
    /// Parses the lists `targets`, `allow`, `exceptions` and `deny`, with one entry per line. This
    /// subset of TOML is sufficient for our file.
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut policy = Self::default();
        let mut list = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut strings = quoted(line).map(str::to_owned);
            match (list, line) {
                (_, "]") => list = "",
                ("", _) => list = line.strip_suffix(" = [").unwrap_or(""),
                ("targets", _) => policy.targets.extend(strings),
                ("allow", _) => policy.allowed.extend(strings),
                ("exceptions", _) => policy.exceptions.push(Exception {
                    name: strings.next().unwrap_or_default(),
                    allowed: strings.collect(),
                }),
                ("deny", _) => policy.banned.push(Ban {
                    name: strings.next().unwrap_or_default(),
                    reason: strings.next().unwrap_or_default(),
                }),
                _ => {}
            }
        }
        if policy.allowed.is_empty() || policy.banned.is_empty() {
            return Err(Failure::new(format!(
                "{POLICY_FILE}: expected lists `allow` and `deny` with one entry per line"
            )));
        }
        Ok(policy)
    }

    fn complaint(&self, package: &Package) -> Option<String> {
        let Package { name, version, .. } = package;
        if let Some(ban) = self.banned.iter().find(|ban| ban.name == *name) {
            return Some(format!("{name} {version} is banned: {}", ban.reason));
        }
        if let Some(source) = package.source.as_deref().filter(|source| *source != CRATES_IO) {
            return Some(format!("{name} {version} comes from {source}, not from crates.io"));
        }
        let licence = package.license.as_deref().unwrap_or("");
        (!is_satisfied(licence, &self.allowed_for(name))).then(|| {
            let licence = if licence.is_empty() { "no license" } else { licence };
            format!("{name} {version} has {licence}, which {POLICY_FILE} does not allow")
        })
    }

    /// Returns the licenses that are allowed for a package.
    fn allowed_for(&self, name: &str) -> Vec<&str> {
        let exceptions = self.exceptions.iter().filter(|exception| exception.name == name);
        let exceptions = exceptions.flat_map(|exception| &exception.allowed);
        self.allowed.iter().chain(exceptions).map(String::as_str).collect()
    }
}

/// Returns true if the allowed licenses satisfy an SPDX expression. `/` is an older form of `OR`.
fn is_satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

fn any(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &[&str]) -> bool {
    let mut satisfied = each(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        satisfied |= each(words, allowed);
    }
    satisfied
}

fn each(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &[&str]) -> bool {
    let mut satisfied = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        satisfied &= one(words, allowed);
    }
    satisfied
}

fn one(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &[&str]) -> bool {
    let Some(word) = words.next() else {
        return false;
    };
    if word == "(" {
        let satisfied = any(words, allowed);
        return words.next() == Some(")") && satisfied;
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence.as_str())
}

/// Returns the double-quoted strings in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

const POLICY_FILE: &str = "deny.toml";
/// The manifests of the crates and of the fuzz targets, which are a separate workspace.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];
/// The source of packages from crates.io, in cargo's metadata.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::parse(
            r#"
[graph]
targets = [
    "x86_64-unknown-linux-gnu",
]
[licenses]
allow = [
    "MIT",
    "Zlib", # why
    "Apache-2.0 WITH LLVM-exception",
]
exceptions = [
    { crate = "fuzzer", allow = ["NCSA"] },
]
[bans]
multiple-versions = "deny"
skip = [
    { crate = "old@1", reason = "others need it" },
]
deny = [
    { crate = "openssl-sys", reason = "use rustls" },
]
"#,
        )
        .unwrap()
    }

    fn complaint(name: &str, licence: &str, source: Option<&str>) -> Option<String> {
        let package: Package = serde_json::from_value(serde_json::json!({
            "id": "x", "name": name, "version": "1.0.0", "license": licence, "source": source,
            "manifest_path": "x",
        }))
        .unwrap();
        policy().complaint(&package)
    }

    #[test]
    fn spdx_expressions_are_evaluated() {
        for (expression, satisfied) in [
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
            let allowed = policy();
            assert_eq!(
                is_satisfied(expression, &allowed.allowed_for("a")),
                satisfied,
                "{expression}"
            );
        }
    }

    #[test]
    fn complaints_name_the_package_and_the_rule() {
        assert_eq!(
            complaint("openssl-sys", "MIT", Some(CRATES_IO)).unwrap(),
            "openssl-sys 1.0.0 is banned: use rustls"
        );
        assert_eq!(
            complaint("a", "GPL-3.0", Some(CRATES_IO)).unwrap(),
            "a 1.0.0 has GPL-3.0, which deny.toml does not allow"
        );
        assert_eq!(
            complaint("a", "MIT", Some("git+https://git.example/a")).unwrap(),
            "a 1.0.0 comes from git+https://git.example/a, not from crates.io"
        );
        for source in [Some(CRATES_IO), None] {
            assert_eq!(complaint("a", "MIT", source), None);
        }
    }

    #[test]
    fn an_exception_applies_to_one_package() {
        assert_eq!(complaint("fuzzer", "MIT AND NCSA", None), None);
        assert!(complaint("a", "MIT AND NCSA", None).is_some());
    }

    #[test]
    fn the_projects_policy_file_can_be_parsed() {
        let text = std::fs::read_to_string(crate::metadata::root().join(POLICY_FILE)).unwrap();
        let policy = Policy::parse(&text).unwrap();
        assert!(is_satisfied("MIT OR Apache-2.0", &policy.allowed_for("a")));
        assert!(is_satisfied("MIT AND NCSA", &policy.allowed_for("libfuzzer-sys")));
        assert!(policy.targets.iter().any(|target| target == "x86_64-pc-windows-msvc"));
        let banned: Vec<&str> = policy.banned.iter().map(|ban| ban.name.as_str()).collect();
        assert_eq!(banned, ["openssl-sys", "native-tls", "aws-lc-sys"]);
        assert!(policy.banned.iter().all(|ban| !ban.reason.is_empty()));
    }
}
