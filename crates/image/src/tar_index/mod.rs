//! The index of a tar file: the names of its files, and the positions of their content.
//!
//! Owns the strict reading of the tar file of an archive. Refuses names and links that lead out of
//! the archive, and headers that two readers could interpret differently. Does not read the content
//! of files. The archives and `folder` use this module.

mod entry;
pub(crate) mod name;
mod pax;

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_core::{Error, ErrorKind, Result};

use crate::file_range::{OpenFile, Section};
pub(crate) use entry::{BLOCK, Entries, Entry, Kind, begins};

/// The regular files of a tar file, by name. If two files have the same name, the last file is
/// used.
#[derive(Debug)]
pub(crate) struct Members {
    by_name: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File(Section),
    /// A link: the names within the archive that its target may mean. The first existing name is
    /// used.
    Link(Vec<String>),
}

impl Members {
    /// Reads all headers once.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the file is not a tar file, is truncated, or has entries
    /// that are refused; [`TooLarge`](ErrorKind::TooLarge) beyond 1,000,000 entries or 64 MiB of
    /// names.
    pub(crate) fn index(file: OpenFile) -> Result<Self> {
        let path = file.path().to_owned();
        Self::read(&Arc::new(file)).map_err(|e| e.at(path.display()))
    }

    fn read(file: &Arc<OpenFile>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        let mut names = 0;
        let mut entries = Entries::new(file)?;
        while let Some(entry) = entries.next()? {
            let Some(name) = name::within(&entry.name)? else {
                continue;
            };
            let member = match entry.kind {
                Kind::File => {
                    Member::File(Section::new(Arc::clone(file), entry.offset, entry.size))
                }
                Kind::HardLink(to) => {
                    Member::Link(name::link_targets(&name, ["", name::folder(&name)], &to)?)
                }
                Kind::SymbolicLink(to) => {
                    Member::Link(name::link_targets(&name, [name::folder(&name), ""], &to)?)
                }
                Kind::Folder | Kind::Other => continue,
            };
            names += name.len();
            if let Member::Link(targets) = &member {
                names += targets.iter().map(String::len).sum::<usize>();
            }
            if names > NAMES_LIMIT {
                return Err(Error::new(ErrorKind::TooLarge)
                    .detail(format!("more than {NAMES_LIMIT} bytes of names")));
            }
            by_name.insert(name, member);
        }
        Ok(Self { by_name })
    }

    /// Returns the file with this name, if it exists. Follows links.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the name leads out of the archive, or if more than eight
    /// links must be followed, as in a cycle.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Section>> {
        let name = name::within(name.as_bytes())?.unwrap_or_default();
        let mut links = LINK_LIMIT;
        self.follow(&name, &mut links)
    }

    fn follow(&self, name: &str, links: &mut usize) -> Result<Option<Section>> {
        let targets = match self.by_name.get(name) {
            None => return Ok(None),
            Some(Member::File(section)) => return Ok(Some(section.clone())),
            Some(Member::Link(targets)) => targets,
        };
        *links = links.checked_sub(1).ok_or_else(|| {
            Error::new(ErrorKind::Invalid)
                .at(name)
                .detail(format!("more than {LINK_LIMIT} links one after another"))
        })?;
        for target in targets {
            if let Some(found) = self.follow(target, links)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the file with this name, which must exist.
    ///
    /// # Errors
    /// Same as [`find`](Self::find); [`Invalid`](ErrorKind::Invalid) if the file is missing.
    pub(crate) fn require(&self, name: &str) -> Result<Section> {
        self.find(name)?.ok_or_else(|| {
            Error::new(ErrorKind::Invalid).detail(format!("{name} is missing in the archive"))
        })
    }

    /// Returns all files by name, including links to files.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Section)> {
        let found = |name: &String| self.find(name).ok().flatten();
        self.by_name.keys().filter_map(move |name| Some((name.as_str(), found(name)?)))
    }
}

/// Maximum number of links to follow. Known tools write at most one level of links.
const LINK_LIMIT: usize = 8;
/// 64 MiB: enough for the names of half a million layers.
pub(crate) const NAMES_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests;
