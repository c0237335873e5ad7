//! Plans a folder from the entries of an archive. All entries are checked before any entry is
//! written.

use std::collections::BTreeMap;

use longshore_core::{Error, ErrorKind, Result};

use super::links;
use crate::file_range::OpenFile;
use crate::tar_index::{Entries, Entry, Kind, NAMES_LIMIT, name};

/// The item at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        offset: u64,
        size: u64,
    },
    /// A hard link: the path of its target, which is also below the folder.
    HardLink(String),
    /// A symbolic link: the text of its target, which leads to a path within the folder.
    SymbolicLink(String),
}

impl Item {
    /// Returns the target of a link. For other items, returns the empty text.
    fn linked(&self) -> &str {
        match self {
            Self::HardLink(to) | Self::SymbolicLink(to) => to,
            Self::Folder { .. } | Self::File { .. } => "",
        }
    }
}

/// The content of a folder by path. The folder itself has the empty path, and comes first.
pub(super) type Plan = BTreeMap<String, Item>;

/// Reads all headers of a folder's archive.
///
/// - `title`: the common prefix of the entries' names, or `.` if there is no prefix.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the file is not a tar or is truncated, for names and links
/// that lead out of the folder, for devices and pipes, for two entries with the same name that are
/// not both folders, and for entries below a file; [`TooLarge`](ErrorKind::TooLarge) beyond
/// 1,000,000 entries, 64 MiB of names, or 256 nested folders.
pub(super) fn of(tar: &OpenFile, title: &str) -> Result<Plan> {
    let (mut plan, mut names) = (Plan::new(), 0);
    let mut entries = Entries::new(tar)?;
    while let Some(entry) = entries.next()? {
        let Some(path) = path_of(&entry, title)? else { continue };
        let item = item(entry, title).map_err(|e| e.at(&path))?;
        names += path.len() + item.linked().len();
        if names > NAMES_LIMIT {
            return Err(too_large(format!("more than {NAMES_LIMIT} bytes of names in a folder")));
        }
        let is_folder = matches!(item, Item::Folder { .. });
        match plan.insert(path.clone(), item) {
            Some(Item::Folder { .. }) if is_folder => {}
            Some(_) => return Err(invalid(&path, "two entries in the archive have this name")),
            None => {}
        }
    }
    check(&plan)?;
    Ok(plan)
}

/// Returns the path of an entry below the folder. For the archive's root, returns the empty path if
/// the title is `.`, and `None` otherwise.
fn path_of(entry: &Entry, title: &str) -> Result<Option<String>> {
    let Some(name) = named(&entry.name)? else {
        return Ok((title == ".").then(String::new));
    };
    let path = below(&name, title)
        .ok_or_else(|| invalid(&name, format!("an entry is outside the folder {title:?}")))?;
    if path.is_empty() && !matches!(entry.kind, Kind::Folder) {
        return Err(invalid(&name, "the entry of the folder itself is not a folder"));
    }
    let above = if matches!(entry.kind, Kind::Folder) { &path } else { name::folder(&path) };
    if above.split('/').count() > DEPTH_LIMIT {
        return Err(too_large(format!("folders are nested more than {DEPTH_LIMIT} deep")));
    }
    Ok(Some(path))
}

/// Normalizes a name in the archive. Returns `None` for the archive's root.
fn named(raw: &[u8]) -> Result<Option<String>> {
    let lossy = String::from_utf8_lossy(raw);
    if str::from_utf8(raw).is_err() {
        return Err(invalid(&lossy, "a name in the archive is not UTF-8"));
    }
    if cfg!(windows) && lossy.contains(['\\', ':']) {
        return Err(invalid(&lossy, "a name in the archive leads out of the folder on Windows"));
    }
    name::within(raw)
}

fn below(name: &str, title: &str) -> Option<String> {
    match title {
        "." => Some(name.to_owned()),
        _ if name == title => Some(String::new()),
        _ => name.strip_prefix(title)?.strip_prefix('/').map(str::to_owned),
    }
}

fn item(entry: Entry, title: &str) -> Result<Item> {
    let Entry { offset, size, .. } = entry;
    let unclear = || Error::new(ErrorKind::Invalid).detail("an entry's mode is not a number");
    let mode = || entry.mode.ok_or_else(unclear);
    Ok(match entry.kind {
        Kind::Folder => Item::Folder { mode: mode()? },
        Kind::File => Item::File { mode: mode()?, offset, size },
        Kind::HardLink(to) => {
            let path = named(&to)?.and_then(|name| below(&name, title));
            Item::HardLink(path.ok_or_else(out_of_the_folder)?)
        }
        Kind::SymbolicLink(to) => Item::SymbolicLink(
            String::from_utf8(to)
                .map_err(|_| Error::new(ErrorKind::Invalid).detail("a link target is not UTF-8"))?,
        ),
        Kind::Other => {
            return Err(Error::new(ErrorKind::Invalid)
                .detail("a folder's archive contains a device, a pipe or an unknown entry"));
        }
    })
}

/// Checks the rules that require the whole plan.
fn check(plan: &Plan) -> Result<()> {
    let mut symbolic = BTreeMap::new();
    for (path, item) in plan {
        let mut above = name::folder(path);
        while !above.is_empty() {
            if plan.get(above).is_some_and(|item| !matches!(item, Item::Folder { .. })) {
                return Err(invalid(above, "expected a folder, because another entry is below it"));
            }
            above = name::folder(above);
        }
        match item {
            Item::HardLink(to) if !matches!(plan.get(to), Some(Item::File { .. })) => {
                return Err(invalid(path, "the hard link's target is not a file in the folder"));
            }
            Item::SymbolicLink(to) => drop(symbolic.insert(path.clone(), to.clone())),
            _ => {}
        }
    }
    links::check(&symbolic)
}

fn out_of_the_folder() -> Error {
    Error::new(ErrorKind::Invalid).detail("the hard link leads out of the folder")
}

fn invalid(name: &str, clause: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Invalid).at(name).detail(clause)
}

fn too_large(clause: String) -> Error {
    Error::new(ErrorKind::TooLarge).detail(clause)
}

/// 256 nested folders. Real trees are less deep, and functions that remove trees can handle this
/// depth.
pub(super) const DEPTH_LIMIT: usize = 256;
