//! Parses and writes the JSON document, and finds matching entries.

use std::cmp::Reverse;
use std::fs;
use std::io::{ErrorKind as IoErrorKind, Read as _, Write as _};
use std::path::Path;

use longshore_core::blob_file::{self, TempFile};
use longshore_core::{Error, ErrorKind, RegistryName, RepositoryName, Result};
use serde_json::{Map, Value};

use super::entry;
use crate::credentials::permission::warn_if_open;
use crate::credentials::{CredentialKey, InsecureUse, RegistryPattern};

/// The parsed document, including fields that longshore does not use. `Debug` shows no secrets.
#[derive(Clone)]
pub(super) struct Content {
    root: Map<String, Value>,
    /// True if the file exists.
    exists: bool,
}

/// A place in the document where a credential may be.
pub(super) enum Place<'a> {
    Entry { key: &'a str, entry: &'a Value, insecure_use: InsecureUse },
    Helper { name: &'a str, everything: bool, insecure_use: InsecureUse },
}

/// The search order of equally specific places.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Helper,
    /// An entry under the key that Docker writes.
    Canonical,
    Entry,
    Wildcard,
    Everything,
}

impl Content {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path, e);
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == IoErrorKind::NotFound => {
                return Ok(Self { root: Map::new(), exists: false });
            }
            Err(e) => return Err(io(e)),
        };
        // Opening a named pipe would block until a writer opens it.
        if !metadata.is_file() {
            return Err(io(std::io::Error::other("not a file")));
        }
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(io)?;
        file.take(SIZE_LIMIT + 1).read_to_end(&mut text).map_err(io)?;
        let content = Self::parse(&text, path)?;
        if content.auths().any(|(_, entry)| entry::is_used(entry)) {
            warn_if_open(path, &metadata);
        }
        Ok(content)
    }

    /// Parses the document. `name` is the document's name in errors.
    pub(super) fn parse(text: &[u8], name: &Path) -> Result<Self> {
        let invalid =
            |clause: String| Error::new(ErrorKind::Invalid).at(name.display()).detail(clause);
        if text.len() as u64 > SIZE_LIMIT {
            return Err(invalid(format!("more than {SIZE_LIMIT} bytes")));
        }
        if text.trim_ascii().is_empty() {
            return Ok(Self { root: Map::new(), exists: true });
        }
        let root: Value = serde_json::from_slice(text).map_err(|e| {
            invalid(format!("not valid JSON at line {}, column {}", e.line(), e.column()))
        })?;
        let Value::Object(root) = root else {
            return Err(invalid("not a JSON object".to_owned()));
        };
        for field in ["auths", "credHelpers"] {
            if root.get(field).is_some_and(|v| !v.is_object() && !v.is_null()) {
                return Err(invalid(format!("\"{field}\" is not a JSON object")));
            }
        }
        Ok(Self { root, exists: true })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let io = |e| Error::io(path, e);
        if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
            let link = "the file is a symbolic link, and longshore does not write through links";
            return Err(io(std::io::Error::other(link)));
        }
        let mut file = TempFile::create(folder(path)?)?.private();
        let mut text = serde_json::to_vec_pretty(&self.root).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        file.write_all(&text).map_err(io)?;
        file.publish(path)
    }

    /// Returns the places where a credential for a repository may be, the most specific first.
    pub(super) fn places(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        let keys = self.auths().filter_map(|(key, _)| CredentialKey::parse(key).ok());
        // An entry for a path does not apply to a helper's credential, which is for the whole
        // registry.
        let registry_keys = keys.filter(|key| key.fits(registry, None).is_some());
        let insecure_use = registry_keys.map(|key| key.insecure_use()).max().unwrap_or_default();
        for (key, name) in self.helpers() {
            let own = CredentialKey::parse(key).ok();
            if let Some((fit, own)) = own.and_then(|k| Some((k.fits(registry, repository)?, k))) {
                let insecure_use =
                    insecure_use.max(own.insecure_use().min(InsecureUse::ThisMachine));
                let helper = Place::Helper { name, everything: false, insecure_use };
                places.push((Reverse(fit), Class::Helper, helper));
            } else if is_wildcard_of(key, registry) {
                let helper = Place::Helper { name, everything: false, insecure_use };
                places.push((Reverse(0), Class::Wildcard, helper));
            }
        }
        for (key, entry) in self.auths() {
            let Ok(parsed) = CredentialKey::parse(key) else { continue };
            let Some(fit) = parsed.fits(registry, repository) else { continue };
            // Docker writes an empty entry if the helper for all registries has the login.
            if !entry::is_used(entry) && self.everything().is_some() {
                continue;
            }
            let class = match parsed.canonical() == *key {
                true => Class::Canonical,
                false => Class::Entry,
            };
            let insecure_use = parsed.insecure_use();
            places.push((Reverse(fit), class, Place::Entry { key, entry, insecure_use }));
        }
        let everything = self.everything().map(|name| {
            let helper = Place::Helper { name, everything: true, insecure_use };
            (Reverse(0), Class::Everything, helper)
        });
        places.extend(everything);
        places.sort_by(|(a, first, _), (b, second, _)| (a, first).cmp(&(b, second)));
        places.into_iter().map(|(.., place)| place).collect()
    }

    /// Returns the reason why there is no entry, as a clause.
    pub(super) fn absence(&self, name: &Path) -> String {
        match self.exists {
            true => format!("no entry in {}", name.display()),
            false => format!("{} does not exist", name.display()),
        }
    }

    /// Returns the helper that stores a registry's credentials.
    pub(super) fn helper_for(&self, registry: &RegistryName) -> Option<&str> {
        let own = || self.helpers().find(|(key, _)| fit(key, registry, None).is_some());
        let wildcard = || self.helpers().find(|(key, _)| is_wildcard_of(key, registry));
        let named = own().or_else(wildcard).map(|(_, name)| name);
        named.or_else(|| self.everything())
    }

    /// Returns true if there is an entry under this key, in any spelling.
    pub(super) fn has(&self, key: &CredentialKey) -> bool {
        self.auths().any(|(known, _)| is_same(known, key))
    }

    /// Adds an entry, and replaces all entries under the same key.
    pub(super) fn put(&mut self, key: &CredentialKey, entry: Value) {
        self.remove(key);
        let mut auths = self.take_auths();
        auths.insert(key.canonical(), entry);
        self.root.insert(AUTHS.to_owned(), Value::Object(auths));
    }

    /// Removes the entries under a key.
    pub(super) fn remove(&mut self, key: &CredentialKey) {
        let mut auths = self.take_auths();
        auths.retain(|known, _| !is_same(known, key));
        self.root.insert(AUTHS.to_owned(), Value::Object(auths));
    }

    fn take_auths(&mut self) -> Map<String, Value> {
        match self.root.remove(AUTHS) {
            Some(Value::Object(auths)) => auths,
            _ => Map::new(),
        }
    }

    fn auths(&self) -> impl Iterator<Item = (&str, &Value)> {
        let auths = self.root.get(AUTHS).and_then(Value::as_object).into_iter().flatten();
        auths.map(|(key, entry)| (key.as_str(), entry))
    }

    fn helpers(&self) -> impl Iterator<Item = (&str, &str)> {
        let helpers = self.root.get("credHelpers").and_then(Value::as_object);
        let all = helpers.into_iter().flatten();
        all.filter_map(|(key, name)| Some((key.as_str(), name.as_str()?)))
    }

    fn everything(&self) -> Option<&str> {
        self.root.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(..)")
    }
}

fn fit(key: &str, registry: &RegistryName, repository: Option<&RepositoryName>) -> Option<usize> {
    CredentialKey::parse(key).ok()?.fits(registry, repository)
}

fn is_same(known: &str, key: &CredentialKey) -> bool {
    CredentialKey::parse(known).is_ok_and(|known| known.is_same(key))
}

/// Returns true if a key such as `*.example.com` matches this registry.
fn is_wildcard_of(key: &str, registry: &RegistryName) -> bool {
    key.starts_with("*.") && RegistryPattern::glob(key).is_ok_and(|glob| glob.matches(registry))
}

/// Returns the folder of a file. If the folder does not exist, creates it with access for its owner
/// only.
pub(super) fn folder(path: &Path) -> Result<&Path> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    blob_file::create_private_folder(folder)?;
    Ok(folder)
}

const AUTHS: &str = "auths";
/// 4 MiB: far more than any real file has.
const SIZE_LIMIT: u64 = 4 << 20;
