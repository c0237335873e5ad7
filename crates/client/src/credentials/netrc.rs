//! `.netrc` files: user names and passwords by host.

use std::fs;
use std::io::{ErrorKind as IoErrorKind, Read as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result};

use super::permission::warn_if_open;
use super::{Credential, CredentialStore, InsecureUse, Secret};
use crate::environment::Environment;

/// The logins in a `.netrc` file, by host.
///
/// An entry for `host:port` takes precedence over an entry for `host`. The `default` entry is
/// ignored, because its password would be sent to every registry that requests a password.
///
/// Source: the GNU inetutils manual, "The .netrc file".
#[derive(Clone, Debug)]
pub struct Netrc {
    path: PathBuf,
}

impl Netrc {
    /// Makes a store from the path of a file. The file is read on each lookup. A missing file
    /// counts as empty.
    #[must_use]
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the path of the file: the value of `NETRC` if set, else `.netrc` in the user's home
    /// directory.
    #[must_use]
    pub fn path_in(environment: &Environment) -> Option<PathBuf> {
        environment.path("NETRC").or_else(|| Some(environment.home()?.join(".netrc")))
    }

    fn credential(&self, registry: &RegistryName) -> Result<Credential> {
        let file = self.path.display();
        let Some(text) = read(&self.path)? else {
            return Ok(Credential::anonymous(format_args!("{file} does not exist")));
        };
        let entries = parse(&text);
        let bare = RegistryName::parse(registry.host());
        let names = |name: &str, wanted: &RegistryName| {
            RegistryName::parse(name).is_ok_and(|found| found == *wanted)
        };
        let find = |wanted| entries.iter().find(|entry| names(&entry.machine, wanted));
        let exact = find(registry).map(|entry| (entry, InsecureUse::ThisMachine));
        let of_host = || Some((find(bare.as_ref().ok()?)?, InsecureUse::Nowhere));
        Ok(match exact.or_else(of_host) {
            None => {
                Credential::anonymous(format_args!("no entry for {} in {file}", registry.host()))
            }
            Some((Entry { machine, login, password: Some(password) }, insecure_use)) => {
                let source = format!("{file}, machine {machine}");
                Credential::login(login.clone(), password.clone(), source)
                    .with_insecure_use(insecure_use)
            }
            Some(_) => Credential::anonymous(format_args!("the entry in {file} has no password")),
        })
    }
}

#[async_trait]
impl CredentialStore for Netrc {
    async fn get(&self, registry: &RegistryName, _: Option<&RepositoryName>) -> Result<Credential> {
        self.credential(registry)
    }
}

#[derive(Debug, Default)]
struct Entry {
    machine: String,
    login: String,
    password: Option<Secret>,
}

/// Reads the file, if it exists.
fn read(path: &Path) -> Result<Option<String>> {
    let io = |e| Error::io(path, e);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    // Opening a named pipe would block until a writer opens it.
    if !metadata.is_file() {
        return Err(io(std::io::Error::other("not a file")));
    }
    let mut text = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(SIZE_LIMIT + 1).read_to_end(&mut text))
        .map_err(io)?;
    let invalid = |clause| Error::new(ErrorKind::Invalid).at(path.display()).detail(clause);
    if text.len() as u64 > SIZE_LIMIT {
        return Err(invalid(format!("more than {SIZE_LIMIT} bytes")));
    }
    let text = String::from_utf8(text).map_err(|_| invalid("not valid UTF-8".to_owned()))?;
    if text.contains("password") {
        warn_if_open(path, &metadata);
    }
    Ok(Some(text))
}

/// Parses the entries in order. Skips macros and unknown words.
fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut named = false;
    let mut in_macro = false;
    for line in text.lines() {
        // A macro ends at an empty line.
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut words = words(line).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "machine" => {
                    named = true;
                    let machine = words.next().unwrap_or_default();
                    entries.push(Entry { machine, ..Entry::default() });
                }
                "default" => named = false,
                "macdef" => {
                    in_macro = true;
                    break;
                }
                // This word starts a comment. A password that starts with `#` is read together with
                // its keyword.
                word if word.starts_with('#') => break,
                keyword => {
                    let entry = entries.last_mut().filter(|_| named);
                    match (keyword, entry) {
                        ("login", Some(entry)) => entry.login = words.next().unwrap_or_default(),
                        ("password", Some(entry)) => entry.password = words.next().map(Secret::new),
                        ("login" | "password" | "account", _) => drop(words.next()),
                        _ => {}
                    }
                }
            }
        }
    }
    entries
}

/// Returns the machine, login and password of each entry, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn entries(text: &str) -> Vec<(String, String, Option<String>)> {
    let plain = |entry: Entry| {
        let password = entry.password.map(|password| password.expose().to_owned());
        (entry.machine, entry.login, password)
    };
    parse(text).into_iter().map(plain).collect()
}

/// Splits a line into words. Words may be quoted.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        let quoted = rest.starts_with('"');
        let mut end = rest.len();
        let mut characters = rest.char_indices().skip(usize::from(quoted));
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => word.extend(characters.next().map(|(_, c)| c)),
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                c if c.is_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                c => word.push(c),
            }
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    words
}

/// 1 MiB: far more than any real file has.
const SIZE_LIMIT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n\
        machine r.example login me password \"p w#\\\"\" # a comment\n\
        machine r.example:5000\n  login other\n  account x\n  password q\n\
        macdef init\nmachine evil.example login x password y\n\n\
        machine index.docker.io login hub password h#1\n\
        machine hash.example login h password #1 # a comment\n\
        machine empty.example login e\n\
        default login anybody password s3cret\n";

    fn found(text: &str, registry: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".netrc");
        fs::write(&path, text).unwrap();
        let credential = Netrc::from_file(path).credential(&registry.parse().unwrap()).unwrap();
        match credential.as_login() {
            Some(login) => format!("{}:{}", login.user, login.password.expose()),
            None => credential.source().to_owned(),
        }
    }

    #[test]
    fn entries_are_found_by_host_and_the_default_entry_is_ignored() {
        for (registry, expected) in [
            ("r.example", "me:p w#\""),
            ("r.example:5000", "other:q"),
            ("r.example:6000", "me:p w#\""),
            ("docker.io", "hub:h#1"),
            ("hash.example", "h:#1"),
            ("empty.example", "no password"),
            ("evil.example", "no entry for evil.example"),
            ("unknown.example", "no entry for unknown.example"),
        ] {
            let found = found(FILE, registry);
            assert!(found.contains(expected), "{registry}: {found}");
        }
        for odd in ["", "machine", "machine r.example password", "login x", "\"", "machine \\"] {
            assert!(found(odd, "r.example").starts_with("anonymous"), "{odd}");
        }
    }

    #[test]
    fn a_missing_file_has_no_entries() {
        let folder = tempfile::tempdir().unwrap();
        let none = Netrc::from_file(folder.path().join("none"));
        assert!(none.credential(&"r.example".parse().unwrap()).unwrap().is_anonymous());
        assert!(Netrc::from_file(folder.path()).credential(&"r.example".parse().unwrap()).is_err());
    }
}
