//! The entries of a tar file, read header by header.

use longshore_core::{Error, ErrorKind, Result};
use tar::{EntryType, Header};

use super::pax::{self, Overrides};
use crate::file_range::OpenFile;

/// One entry: its raw name, its kind, and the position of its content in the file.
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// The permission bits without setuid, setgid and sticky bit. `None` if the archive states no
    /// valid mode.
    pub(crate) mode: Option<u32>,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The kind of an entry. Links have their raw target.
pub(crate) enum Kind {
    File,
    HardLink(Vec<u8>),
    SymbolicLink(Vec<u8>),
    Folder,
    /// A device, a pipe, or an unknown type. Its content is never read.
    Other,
}

/// An iterator over the entries of a tar file. Content is skipped.
///
/// Source: POSIX.1-2024, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
pub(crate) struct Entries<'a> {
    file: &'a OpenFile,
    length: u64,
    position: u64,
    count: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(file: &'a OpenFile) -> Result<Self> {
        Ok(Self { file, length: file.length()?, position: 0, count: 0 })
    }

    /// Returns the next entry. The extended headers before the entry are applied.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut overrides = Overrides::default();
        while let Some(header) = self.header()? {
            let size = stored_size(&header)?;
            match header.entry_type() {
                EntryType::XHeader => overrides.read(&self.extension(size, PAX_LIMIT)?)?,
                EntryType::XGlobalHeader => self.global(size)?,
                EntryType::GNULongName => overrides.name = Some(self.long_name(size)?),
                EntryType::GNULongLink => overrides.link = Some(self.long_name(size)?),
                EntryType::GNUSparse => return Err(pax::sparse()),
                _ => return self.entry(&header, overrides, size).map(Some),
            }
        }
        if overrides.is_empty() {
            Ok(None)
        } else {
            Err(invalid("the tar file has an extended header without an entry"))
        }
    }

    fn entry(&mut self, header: &Header, overrides: Overrides, size: u64) -> Result<Entry> {
        let name = overrides.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || {
            let target = overrides.link.or_else(|| Some(header.link_name_bytes()?.into_owned()));
            target.ok_or_else(|| invalid("the tar file has a link without a target"))
        };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link => Kind::HardLink(link()?),
            EntryType::Symlink => Kind::SymbolicLink(link()?),
            EntryType::Directory => Kind::Folder,
            _ => Kind::Other,
        };
        let to = match &kind {
            Kind::HardLink(to) | Kind::SymbolicLink(to) => to.len(),
            _ => 0,
        };
        if name.len().max(to) > NAME_LIMIT {
            return Err(invalid("the tar file has a name longer than 4096 bytes"));
        }
        let size = overrides.size.unwrap_or(size);
        // Readers disagree on whether content follows in this case, so refuse content.
        if size > 0 && header_only(header.entry_type()) {
            return Err(invalid("the tar file has a link, folder or device with content"));
        }
        let offset = self.position;
        self.skip(size)?;
        let mode = header.mode().ok().map(|mode| mode & MODE_BITS);
        Ok(Entry { name, kind, mode, offset, size })
    }

    /// Reads the header at the current position and advances past it. Returns `None` at the end of
    /// the archive: two blocks of zeros, one block of zeros at the end of the file, or the end of
    /// the file.
    fn header(&mut self) -> Result<Option<Header>> {
        let Some(header) = self.block()? else {
            return Ok(None);
        };
        if is_zero(&header) {
            return match self.block()? {
                Some(next) if !is_zero(&next) => {
                    Err(invalid("the tar file has a single block of zeros"))
                }
                _ => Ok(None),
            };
        }
        self.count += 1;
        if self.count > ENTRY_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge)
                .detail(format!("more than {ENTRY_LIMIT} entries in a tar file")));
        }
        if header.cksum().ok() != Some(checksum(&header)) {
            return Err(if self.position == BLOCK {
                invalid("not a tar file")
            } else {
                invalid("the tar file has a damaged header")
            });
        }
        Ok(Some(header))
    }

    fn block(&mut self) -> Result<Option<Header>> {
        match self.length.saturating_sub(self.position) {
            0 => Ok(None),
            1..BLOCK => Err(cut_short()),
            _ => {
                let mut header = Header::new_old();
                self.file.read_exact_at(header.as_mut_bytes(), self.position)?;
                self.position += BLOCK;
                Ok(Some(header))
            }
        }
    }

    /// Reads the content of an entry that describes the next entry.
    fn extension(&mut self, size: u64, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            return Err(invalid("the tar file has an extended header that is too long"));
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or_default()];
        let offset = self.position;
        self.skip(size)?;
        self.file.read_exact_at(&mut content, offset)?;
        Ok(content)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extension(size, NAME_LIMIT as u64 + 1)?;
        if let Some(end) = name.iter().position(|b| *b == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    /// Checks that a global header sets no name, no link target and no size. Git writes a comment
    /// to the global header.
    fn global(&mut self, size: u64) -> Result<()> {
        let mut overrides = Overrides::default();
        overrides.read(&self.extension(size, PAX_LIMIT)?)?;
        if overrides.is_empty() {
            Ok(())
        } else {
            Err(invalid("the tar file has a global header with a name or size"))
        }
    }

    /// Advances past content and its padding. The content must be complete. The padding may be
    /// missing at the end of the file.
    fn skip(&mut self, size: u64) -> Result<()> {
        if size > self.length.saturating_sub(self.position) {
            return Err(cut_short());
        }
        self.position = (self.position + size).next_multiple_of(BLOCK);
        Ok(())
    }
}

/// Reads the size field. Refuses a binary number that is negative or too large.
fn stored_size(header: &Header) -> Result<u64> {
    let field = &header.as_old().size;
    if field[0] & 0x80 != 0 && field[..4] != [0x80, 0, 0, 0] {
        return Err(invalid("the tar file has a size out of range"));
    }
    header.entry_size().map_err(|_| invalid("the tar file has a size that is not a number"))
}

/// Returns true if a file begins with the first block of a tar: a header with a valid checksum, or
/// the end marker of an empty tar. An empty file also counts as an empty tar.
///
/// Source: POSIX.1-2017, pax, "ustar Interchange Format".
pub(crate) fn begins(start: &[u8]) -> bool {
    if start.len() as u64 != BLOCK {
        return start.is_empty();
    }
    let header = Header::from_byte_slice(start);
    is_zero(header) || header.cksum().ok() == Some(checksum(header))
}

/// Returns the sum of all bytes. The bytes of the checksum itself count as spaces.
fn checksum(header: &Header) -> u32 {
    let bytes = header.as_bytes();
    let own: u32 = bytes[CHECKSUM].iter().copied().map(u32::from).sum();
    let all: u32 = bytes.iter().copied().map(u32::from).sum();
    all - own + 8 * u32::from(b' ')
}

fn is_zero(header: &Header) -> bool {
    header.as_bytes().iter().all(|b| *b == 0)
}

fn header_only(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

fn cut_short() -> Error {
    invalid("the tar file is truncated")
}

fn invalid(clause: &'static str) -> Error {
    Error::new(ErrorKind::Invalid).detail(clause)
}

pub(crate) const BLOCK: u64 = 512;
/// The position of the checksum in a header.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Read, write and execute, for user, group and others.
const MODE_BITS: u32 = 0o777;
/// 4 KiB: the limit of Linux for the length of a path (`PATH_MAX`).
const NAME_LIMIT: usize = 4096;
/// 1 MiB. Extended headers also contain extended attributes.
const PAX_LIMIT: u64 = 1 << 20;
/// 1,000,000 entries. Archives of images have a few entries for each layer, and a folder's archive
/// has one entry for each file.
const ENTRY_LIMIT: usize = 1_000_000;
