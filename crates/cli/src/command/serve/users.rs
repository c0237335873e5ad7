//! Reads users from a file.

use std::path::{Path, PathBuf};

use longshore::{Error, ErrorKind, Result};
use longshore_registry::Htpasswd;

use super::file;

/// Users from a file, which is read again when it changes.
#[derive(Clone)]
pub(super) struct Users {
    file: PathBuf,
    pub(super) policy: Htpasswd,
}

impl Users {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let policy = Htpasswd::parse(&text(file)?).map_err(|e| e.at(file.display()))?;
        Ok(Self { file: file.to_owned(), policy })
    }

    pub(super) fn read_again(&self) -> Result<()> {
        self.policy.replace(&text(&self.file)?).map_err(|e| e.at(self.file.display()))
    }
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(file::read(path)?).map_err(|e| {
        let problem = "expected UTF-8 text, as `htpasswd -B` writes it";
        Error::new(ErrorKind::Invalid).at(path.display()).detail(problem).with_source(e)
    })
}
