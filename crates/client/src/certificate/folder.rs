//! Reads `certs.d`: folders in which other tools store certificates for registries.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longshore_core::{Error, ErrorKind, RegistryName, Result};

use super::{ClientCertificate, RootCertificates};
use crate::environment::Environment;

/// Folders with one subfolder of certificates per registry, in the layout of Docker and Podman. A
/// subfolder `certs.d/<host:port>/` has `*.crt` files (authorities to trust), and `*.cert` files
/// each with a `*.key` of the same name (client certificates). Only the first folder with a
/// subfolder for a registry is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFolders(Vec<PathBuf>);

/// The certificates in a registry's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<ClientCertificate>,
}

impl CertificateFolders {
    /// Makes a list of folders, which are searched in this order.
    #[must_use]
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().collect())
    }

    /// Returns the folders of Docker, Podman, Skopeo and Buildah: `containers/certs.d` below
    /// `$XDG_CONFIG_HOME` or `~/.config`, then `/etc/containers/certs.d`, then
    /// `/etc/docker/certs.d`.
    #[must_use]
    pub fn from_environment(environment: &Environment) -> Self {
        let config = environment
            .path("XDG_CONFIG_HOME")
            .or_else(|| environment.home().map(|home| home.join(".config")));
        let own = config.map(|config| config.join("containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        Self(own.into_iter().chain(system).collect())
    }

    /// Returns true if a registry has a folder.
    pub(crate) fn has(&self, name: &RegistryName) -> bool {
        self.0.iter().any(|folder| folder.join(name.as_str()).is_dir())
    }

    /// Returns the certificates for a registry. `names` are the possible names of the registry's
    /// folder.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a certificate without its key, a key without its
    /// certificate, or a malformed file. [`Io`](ErrorKind::Io) for a file that cannot be read. Each
    /// error names the file.
    pub(crate) fn find(&self, names: &[RegistryName]) -> Result<Found> {
        for folder in &self.0 {
            for name in names {
                let folder = folder.join(name.as_str());
                match fs::read_dir(&folder) {
                    Ok(entries) => return read(&folder, entries),
                    Err(e) if is_absent(&e) => {}
                    Err(e) => return Err(Error::io(&folder, e)),
                }
            }
        }
        Ok(Found::default())
    }
}

/// Returns true if a folder does not exist, or if this user may not read it. For other users, a
/// folder that only root may read counts as missing.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

fn read(folder: &Path, entries: fs::ReadDir) -> Result<Found> {
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|e| Error::io(folder, e))?;
    paths.sort();
    let with = |extension: &'static str| {
        paths.iter().filter(move |path| path.extension().is_some_and(|e| e == extension))
    };
    let mut found = Found::default();
    for path in with("crt") {
        let more = RootCertificates::from_pem(&content(path)?).map_err(|e| in_file(path, e))?;
        found.root_certificates = Some(match found.root_certificates {
            Some(before) => before.and(&more),
            None => more,
        });
    }
    for key in with("key") {
        require(key, &key.with_extension("cert"))?;
    }
    for certificate in with("cert") {
        let key = certificate.with_extension("key");
        require(certificate, &key)?;
        let pair = ClientCertificate::from_pem(&content(certificate)?, &content(&key)?)
            .map_err(|e| in_file(certificate, e))?;
        // If there are several client certificates, the first by name is presented.
        found.client_certificate.get_or_insert(pair);
    }
    Ok(found)
}

fn require(there: &Path, other: &Path) -> Result<()> {
    match other.is_file() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Invalid).at(there.display()).detail(format!(
            "the other file of this client certificate is missing: {}",
            other.display()
        ))),
    }
}

fn in_file(path: &Path, error: Error) -> Error {
    Error::new(error.kind()).at(path.display()).with_source(error)
}

fn content(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use longshore_testkit::tls::Authority;

    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn the_first_folder_with_a_subfolder_for_the_registry_is_used() {
        let (temporary, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (first, second) = (temporary.path().join("1"), temporary.path().join("2"));
        let (ca, pair) = (authority.certificate(), authority.issue(&["client"]));
        write(&first.join("r.example:5000"), &[("ca.crt", &ca), ("b.crt", &ca), ("x.txt", "no")]);
        let files = [("c.cert", pair.certificate.as_str()), ("c.key", pair.key.as_str())];
        write(&second.join("r.example:5000"), &files);
        write(&second.join("s.example"), &files);
        let folders = CertificateFolders::new([first, second]);
        let find = |name: &str| folders.find(&[name.parse().unwrap()]).unwrap();
        let found = find("r.example:5000");
        assert_eq!(found.root_certificates.unwrap().iter().count(), 2);
        assert_eq!(found.client_certificate, None);
        assert!(find("s.example").client_certificate.is_some());
        assert_eq!(find("t.example"), Found::default());
        assert!(folders.has(&"s.example".parse().unwrap()));
        assert!(!folders.has(&"t.example".parse().unwrap()));
    }

    #[test]
    fn incomplete_pairs_and_malformed_files_are_errors_that_name_the_file() {
        let pair = Authority::new().issue(&["client"]);
        for (files, name, word) in [
            (&[("a.cert", pair.certificate.as_str())][..], "a.cert", "a.key"),
            (&[("a.key", pair.key.as_str())][..], "a.key", "a.cert"),
            (&[("a.crt", "nonsense")][..], "a.crt", "PEM"),
            (&[("a.cert", "x"), ("a.key", pair.key.as_str())][..], "a.cert", "PEM"),
            (&[("a.cert", pair.certificate.as_str()), ("a.key", "x")][..], "a.cert", "key"),
        ] {
            let temporary = tempfile::tempdir().unwrap();
            write(&temporary.path().join("r.example"), files);
            let folders = CertificateFolders::new([temporary.path().to_owned()]);
            let e = folders.find(&["r.example".parse().unwrap()]).unwrap_err();
            let text = format!("{e} {e:?}");
            assert!(e.to_string().contains(name) && text.contains(word), "{text}");
        }
    }

    #[test]
    fn the_environment_determines_the_folders_of_other_tools() {
        let environment = Environment::empty().with("HOME", "/h");
        let folders = CertificateFolders::from_environment(&environment);
        assert_eq!(folders.0[0], Path::new("/h/.config/containers/certs.d"));
        assert_eq!(folders.0.len(), 3);
    }
}
