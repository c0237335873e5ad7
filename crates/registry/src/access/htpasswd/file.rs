//! Parses the text of a password file.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use bcrypt::HashParts;
use longshore_core::{Error, ErrorKind, Result};

/// Names and bcrypt hashes of at least one user.
pub(super) struct Entries {
    hashes: BTreeMap<String, String>,
    /// The hash that the passwords of unknown users are checked against. If all hashes have the
    /// same cost, the time of a check does not reveal which users exist.
    any: String,
}

impl Entries {
    /// Parses lines of `name:hash`, as `htpasswd -B` writes them. Skips empty lines and comments.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |problem: String| invalid(format!("line {}: {problem}", index + 1));
            let (name, hash) = line.split_once(':').unwrap_or((line, ""));
            if name.is_empty() || hash.is_empty() {
                return Err(at("expected NAME:HASH".to_owned()));
            }
            check(hash).map_err(|problem| at(format!("{name} has {problem}")))?;
            if hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(at(format!("{name} is already on an earlier line")));
            }
        }
        let Some(any) = hashes.values().next().cloned() else {
            return Err(invalid("no users; expected lines of NAME:HASH".to_owned()));
        };
        Ok(Self { hashes, any })
    }

    /// Returns the hash to check a password against, and whether a user has this name.
    pub(super) fn hash(&self, name: &str) -> (&str, bool) {
        match self.hashes.get(name) {
            Some(hash) => (hash, true),
            None => (&self.any, false),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }
}

/// Checks a hash. Errors describe the problem without showing the hash.
fn check(hash: &str) -> Result<(), String> {
    let is_bcrypt = ["$2y$", "$2b$", "$2a$"].iter().any(|kind| hash.starts_with(kind));
    if !is_bcrypt {
        return Err(format!("{}; expected a bcrypt hash", kind(hash)));
    }
    match HashParts::from_str(hash) {
        Ok(parts) if COSTS.contains(&parts.get_cost()) => Ok(()),
        Ok(parts) => Err(format!(
            "a bcrypt hash of cost {}; expected {} to {}",
            parts.get_cost(),
            COSTS.start(),
            COSTS.end()
        )),
        Err(_) => Err("a damaged bcrypt hash; expected 60 characters".to_owned()),
    }
}

/// Returns the kind of an unsupported hash, for an error message.
fn kind(hash: &str) -> &'static str {
    match hash {
        _ if hash.starts_with("$apr1$") => "an MD5 (apr1) hash",
        _ if hash.starts_with("$1$") => "an MD5 (crypt) hash",
        _ if hash.starts_with("{SHA}") => "a SHA-1 hash",
        _ if hash.starts_with("$5$") => "a SHA-256 (crypt) hash",
        _ if hash.starts_with("$6$") => "a SHA-512 (crypt) hash",
        _ if hash.starts_with("$2x$") => "a hash of the faulty bcrypt variant 2x",
        _ if hash.starts_with("$argon2") => "an Argon2 hash",
        _ if hash.starts_with("$y$") => "a yescrypt hash",
        _ if hash.len() == DES_SIZE => "a DES (crypt) hash, or a plain password",
        _ => "a plain password, or a hash of unknown kind",
    }
}

fn invalid(problem: String) -> Error {
    Error::new(ErrorKind::Invalid).detail(problem).with_hint("`htpasswd -B` writes bcrypt hashes.")
}

/// The costs that `htpasswd -C` accepts. Cost 18 would keep a thread busy for 10 s per password.
const COSTS: std::ops::RangeInclusive<u32> = 4..=17;
/// The number of characters of a DES (crypt) hash.
const DES_SIZE: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "$2y$05$91hwPJGXgN/rDX1lWKN8QOiH9vJxE/XP2tSkyrcTzZXLS9DDb3lKC";

    #[test]
    fn names_and_hashes_are_parsed_line_by_line() {
        let text = format!("# people\r\n\r\nann:{ANN}\r\nb o:{}", ANN.replace("2y", "2a"));
        let entries = Entries::parse(&text).unwrap();
        assert_eq!(entries.names().collect::<Vec<_>>(), ["ann", "b o"]);
        assert_eq!(entries.hash("ann"), (ANN, true));
        assert_eq!(entries.hash("carl"), (ANN, false));
    }

    #[test]
    fn errors_name_the_line_and_the_kind_of_hash_but_not_the_hash() {
        let wrong = "has a plain password, or a hash of unknown kind; expected a bcrypt hash";
        for (line, problem) in [
            ("secret", "expected NAME:HASH"),
            (":x", "expected NAME:HASH"),
            ("bob:$apr1$Zx$secret", "bob has an MD5 (apr1) hash; expected a bcrypt hash"),
            ("bob:{SHA}secret=", "bob has a SHA-1 hash; expected a bcrypt hash"),
            ("bob:$5$a$secret", "bob has a SHA-256 (crypt) hash; expected a bcrypt hash"),
            ("bob:$6$a$secret", "bob has a SHA-512 (crypt) hash; expected a bcrypt hash"),
            (
                "bob:secretsecrets",
                "bob has a DES (crypt) hash, or a plain password; expected a bcrypt hash",
            ),
            ("bob:secret", &format!("bob {wrong}")),
            ("bob:$2y$05$secret", "bob has a damaged bcrypt hash; expected 60 characters"),
            (
                &format!("bob:{}", ANN.replace("$05$", "$18$")),
                "bob has a bcrypt hash of cost 18; expected 4 to 17",
            ),
            (&format!("ann:{ANN}"), "ann is already on an earlier line"),
        ] {
            let e = Entries::parse(&format!("ann:{ANN}\n\n{line}\n")).err().unwrap();
            assert_eq!(e.to_string(), format!("invalid: line 3: {problem}"));
        }
        for empty in ["", "\n# nobody\n"] {
            let e = Entries::parse(empty).err().unwrap();
            assert!(e.to_string().contains("no users"), "{e}");
        }
    }
}
