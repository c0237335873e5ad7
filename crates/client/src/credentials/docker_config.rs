//! Docker's `config.json`: read for its `auths`, written by logging in and out.

use std::fs;
use std::io::{ErrorKind as IoErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use serde_json::{Map, Value};

use super::{Credential, CredentialStore, Secret};

/// The credentials in Docker's `config.json`.
///
/// Read once, when loaded. A missing file is no error: everybody is anonymous then. Docker Hub's
/// entry is `https://index.docker.io/v1/`, or else any other of Hub's names. Entries that hand over
/// to a credential helper or hold an identity token cannot be used yet; errors say so.
///
/// Source: Docker CLI, "docker login", configuration file.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    path: PathBuf,
    content: Content,
}

/// The document, with the fields that longshore does not know. `Debug` shows no secrets.
#[derive(Clone)]
struct Content(Map<String, Value>);

impl DockerConfig {
    /// Loads `config.json` in the folder that `DOCKER_CONFIG` names, else in `~/.docker`.
    ///
    /// # Errors
    /// As [`load_from`](Self::load_from).
    pub fn load() -> Result<Self> {
        let named =
            |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = named("DOCKER_CONFIG").or_else(|| {
            let home = named("HOME").or_else(|| named("USERPROFILE"))?;
            Some(home.join(".docker"))
        });
        match folder {
            Some(folder) => Self::load_from(folder.join(FILE_NAME)),
            // Without a home there is no file; writing it would say so.
            None => Ok(Self { path: PathBuf::from(FILE_NAME), content: Content(Map::new()) }),
        }
    }

    /// Loads the file at `path`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if it is there and cannot be read;
    /// [`Invalid`](ErrorKind::Invalid) if it is no JSON object. Both name the file and quote nothing
    /// of it.
    pub fn load_from(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let content = Content::read(&path)?;
        Ok(Self { path, content })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a user and password for a registry, in place of what was there.
    ///
    /// The file is replaced as a whole, readable by its owner only; all its other content stays.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the file hands this registry over to a credential
    /// helper; [`Io`](ErrorKind::Io) if the file cannot be written.
    pub fn set(&mut self, registry: &RegistryName, user: &str, password: &Secret) -> Result<()> {
        if let Some(helper) = self.content.helper(registry) {
            return Err(Error::new(ErrorKind::Unsupported).at(self.path.display()).detail(format!(
                "{registry} is handed to the credential helper \"{helper}\", which is not supported yet"
            )));
        }
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        let entry = serde_json::json!({ "auth": BASE64.encode(pair.expose()) });
        self.change(|content| {
            content.remove(registry);
            content.auths_mut().insert(key(registry), entry);
        })
    }

    /// Forgets what is kept for a registry, under any of its names; says whether there was
    /// anything.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file cannot be written.
    pub fn remove(&mut self, registry: &RegistryName) -> Result<bool> {
        if self.content.entry(registry).is_none() {
            return Ok(false);
        }
        self.change(|content| content.remove(registry))?;
        Ok(true)
    }

    /// Changes the file as it is now, which may not be as it was loaded.
    fn change(&mut self, change: impl FnOnce(&mut Content)) -> Result<()> {
        let mut content = Content::read(&self.path)?;
        change(&mut content);
        content.write(&self.path)?;
        self.content = content;
        Ok(())
    }

    fn credential(&self, registry: &RegistryName) -> Result<Credential> {
        let file = self.path.display();
        if let Some(helper) = self.content.helper(registry) {
            return Ok(Credential::anonymous(format_args!(
                "{file} names the credential helper \"{helper}\", which is not supported yet"
            )));
        }
        let Some((key, entry)) = self.content.entry(registry) else {
            return Ok(Credential::anonymous(format_args!("no entry in {file}")));
        };
        let source = format!("{file}, entry {key}");
        // The user next to an identity token is a placeholder (Azure's is all zeros).
        if has_text(entry, "identitytoken") {
            return Ok(Credential::anonymous(format_args!(
                "{source} holds an identity token, which is not supported yet"
            )));
        }
        match login(entry) {
            Ok(Some((user, password))) => Ok(Credential::login(user, password, source)),
            Ok(None) => Ok(Credential::anonymous(format_args!("{source} is empty"))),
            Err(clause) => Err(Error::new(ErrorKind::Invalid).at(source).detail(clause)),
        }
    }
}

#[async_trait]
impl CredentialStore for DockerConfig {
    async fn get(&self, registry: &RegistryName) -> Result<Credential> {
        self.credential(registry)
    }
}

impl Content {
    fn read(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path, e);
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == IoErrorKind::NotFound => return Ok(Self(Map::new())),
            Err(e) => return Err(io(e)),
        };
        // Opening a pipe would wait for whoever writes to it.
        if !metadata.is_file() {
            return Err(io(std::io::Error::other("not a file")));
        }
        let invalid =
            |clause: String| Error::new(ErrorKind::Invalid).at(path.display()).detail(clause);
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(io)?;
        file.take(SIZE_LIMIT + 1).read_to_end(&mut text).map_err(io)?;
        if text.len() as u64 > SIZE_LIMIT {
            return Err(invalid(format!("more than {SIZE_LIMIT} bytes")));
        }
        if text.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        let root: Value = serde_json::from_slice(&text).map_err(|e| {
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
        Ok(Self(root))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let io = |e| Error::io(path, e);
        if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
            let link = "it is a symbolic link, which is not written through";
            return Err(io(std::io::Error::other(link)));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_private(folder).map_err(io)?;
        // Temporary files are made readable by their owner only.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let mut text = serde_json::to_vec_pretty(&self.0).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    }

    /// The entry for a registry: under the name Docker uses, else under any other of its names.
    fn entry(&self, registry: &RegistryName) -> Option<(&String, &Value)> {
        let auths = self.0.get("auths")?.as_object()?;
        auths
            .get_key_value(&key(registry))
            .or_else(|| auths.iter().find(|(key, _)| names(key, registry)))
    }

    fn remove(&mut self, registry: &RegistryName) {
        self.auths_mut().retain(|key, _| !names(key, registry));
    }

    fn auths_mut(&mut self) -> &mut Map<String, Value> {
        let auths = self.0.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        match auths {
            Value::Object(auths) => auths,
            _ => unreachable!("it was just made an object"),
        }
    }

    /// The credential helper that has this registry's credentials.
    ///
    /// A helper for everything (`credsStore`) counts only where there is no entry to use instead.
    fn helper(&self, registry: &RegistryName) -> Option<&str> {
        let own = self.0.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
            helpers.iter().find(|(key, _)| names(key, registry)).map(|(_, helper)| helper)
        });
        let usable = || self.entry(registry).is_some_and(|(_, entry)| has_login(entry));
        own.or_else(|| self.0.get("credsStore").filter(|_| !usable()))?.as_str()
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(..)")
    }
}

/// The key that Docker writes for a registry.
fn key(registry: &RegistryName) -> String {
    match registry.is_docker_hub() {
        true => "https://index.docker.io/v1/".to_owned(),
        false => registry.to_string(),
    }
}

/// Whether a key is one of a registry's names: its address, with a scheme and the path of an API or
/// without. A key with another path is for part of a registry, and not used.
fn names(key: &str, registry: &RegistryName) -> bool {
    let address = key.trim_start_matches("https://").trim_start_matches("http://");
    let (address, path) = address.split_once('/').unwrap_or((address, ""));
    matches!(path.trim_end_matches('/'), "" | "v1" | "v2")
        && RegistryName::parse(address).is_ok_and(|name| name == *registry)
}

fn has_text(entry: &Value, field: &str) -> bool {
    entry.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

fn has_login(entry: &Value) -> bool {
    has_text(entry, "auth") || has_text(entry, "username")
}

/// The user and password of an entry, if it has them. The error quotes nothing.
fn login(entry: &Value) -> Result<Option<(String, Secret)>, &'static str> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    let (user, password) = match text("auth") {
        "" if text("username").is_empty() => return Ok(None),
        "" => (text("username").to_owned(), Secret::new(text("password"))),
        auth => {
            let decoded = BASE64.decode(auth.trim()).map_err(|_| "\"auth\" is not base64")?;
            let pair = String::from_utf8(decoded).map_err(|_| "\"auth\" is not text")?;
            let pair = Secret::new(pair);
            let (user, password) =
                pair.expose().split_once(':').ok_or("\"auth\" has no ':' in it")?;
            (user.to_owned(), Secret::new(password))
        }
    };
    if user.contains(char::is_control) || password.expose().contains(char::is_control) {
        return Err("there is a control character in the user name or password");
    }
    if user.is_empty() && password.expose().is_empty() {
        return Ok(None);
    }
    Ok(Some((user, password)))
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

const FILE_NAME: &str = "config.json";
/// 4 MiB: far more than any real file has.
const SIZE_LIMIT: u64 = 4 << 20;

#[cfg(test)]
mod tests;
