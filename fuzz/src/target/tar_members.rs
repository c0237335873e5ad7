//! Archives of images: tar files.

use std::io::{Cursor, Write as _};
use std::ops::Range;

use longshore_image::fuzzing::tar_members;
use tar::{Archive, Builder, EntryType, Header};

/// Checks that each file's content is within the archive and at the position that another parser
/// finds, and that no name leads out of the archive.
pub fn run(data: &[u8]) -> bool {
    let mut file = tempfile::tempfile().expect("a temporary file can be created");
    file.write_all(data).expect("the temporary file can be written");
    let Ok(members) = tar_members(file) else {
        return false;
    };
    let others = contents_by_the_tar_crate(data);
    for (name, content) in &members {
        assert!(name.split('/').all(|part| !["", ".", ".."].contains(&part)), "{name:?}");
        assert!(content.end <= data.len() as u64, "{name:?} at {content:?}");
        if let Some(others) = &others {
            assert!(others.contains(content), "{name:?} at {content:?}, not one of {others:?}");
        }
    }
    !members.is_empty()
}

/// Returns the positions of file contents, found by the tar crate; `None` if it cannot read the
/// archive.
fn contents_by_the_tar_crate(data: &[u8]) -> Option<Vec<Range<u64>>> {
    let mut found = Vec::new();
    for entry in Archive::new(Cursor::new(data)).entries().ok()? {
        let entry = entry.ok()?;
        let start = entry.raw_file_position();
        found.push(start..start + entry.size());
    }
    Some(found)
}

/// Archives with every kind of entry.
pub fn seeds() -> Vec<Vec<u8>> {
    let regular = EntryType::Regular;
    vec![
        archive(&[(regular, "./a", b"old"), (regular, "dir/b", &[7; 600]), (regular, "a", b"new")]),
        archive(&[
            (EntryType::Directory, "d/", b""),
            (regular, "d/layer.tar", b"layer"),
            (EntryType::Symlink, "e", b"d/layer.tar"),
            (EntryType::Link, "f/layer.tar", b"d/layer.tar"),
            (EntryType::Symlink, "g/layer.tar", b"../d/layer.tar"),
        ]),
        archive(&[
            (EntryType::XHeader, "x", b"12 path=a\nb\n9 size=7\n"),
            (regular, "a", b"1234567"),
        ]),
        archive(&[(EntryType::XGlobalHeader, "g", b"14 comment=xy\n"), (regular, "a", b"1")]),
        archive(&[(EntryType::GNULongName, "././@LongLink", b"long/name\0"), (regular, "l", b"1")]),
        archive(&[
            (EntryType::GNULongLink, "././@LongLink", b"a\0"),
            (EntryType::Symlink, "l", b"x"),
            (regular, "a", b"1"),
        ]),
        archive(&[(EntryType::Fifo, "p", b""), (EntryType::Continuous, "c", b"1")]),
        archive(&[]),
    ]
}

fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        let is_link = matches!(kind, EntryType::Link | EntryType::Symlink);
        if is_link {
            header.set_link_name_literal(content).expect("the name is short");
        }
        let content = if is_link { b"" } else { *content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("a vector has room");
    }
    builder.into_inner().expect("a vector has room")
}
