use std::io::Write as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::*;

fn index(tar: &[u8]) -> Result<Members> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    Members::index(OpenFile::new(file, Path::new("x.tar")))
}

fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header
}

fn tar(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = header(name, *kind, 0);
        match kind {
            EntryType::Link | EntryType::Symlink => {
                header.set_link_name_literal(content).unwrap();
                header.set_cksum();
                builder.append(&header, &[][..]).unwrap();
            }
            _ => {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, *content).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn read(members: &Members, name: &str) -> Option<Vec<u8>> {
    let section = members.find(name).unwrap()?;
    Some(section.bytes(usize::MAX).unwrap().to_vec())
}

#[test]
fn files_are_found_by_name_and_the_last_file_of_a_name_is_used() {
    let content = vec![7; 1000];
    let members = index(&tar(&[
        (b"./a", EntryType::Regular, b"old"),
        (b"dir/", EntryType::Directory, b""),
        (b"dir/b", EntryType::Regular, &content),
        (b"a", EntryType::Regular, b"new"),
        (b"pipe", EntryType::Fifo, b""),
        (b"empty", EntryType::Regular, b""),
    ]))
    .unwrap();
    assert_eq!(read(&members, "a").unwrap(), b"new");
    assert_eq!(read(&members, "./dir/b").unwrap(), content);
    assert_eq!(read(&members, "empty").unwrap(), b"");
    assert!(read(&members, "pipe").is_none() && read(&members, "dir").is_none());
    assert!(members.find("../a").is_err() && members.find("/a").is_err());
}

#[test]
fn links_are_followed_within_the_archive() {
    let members = index(&tar(&[
        (b"a/layer.tar", EntryType::Regular, b"layer"),
        (b"b/layer.tar", EntryType::Symlink, b"../a/layer.tar"),
        (b"c/layer.tar", EntryType::Link, b"a/layer.tar"),
        (b"d/layer.tar", EntryType::Symlink, b".top.tar"),
        (b"e/layer.tar", EntryType::Symlink, b"layer.tar"),
        (b"f/layer.tar", EntryType::Link, b"both.tar"),
        (b"f/both.tar", EntryType::Regular, b"near"),
        (b"g/both.tar", EntryType::Regular, b"near"),
        (b"g/layer.tar", EntryType::Symlink, b"both.tar"),
        (b".top.tar", EntryType::Regular, b"top"),
        (b"layer.tar", EntryType::Regular, b"top"),
        (b"dangling", EntryType::Symlink, b"nothing"),
        (b"one", EntryType::Symlink, b"two"),
        (b"two", EntryType::Symlink, b"one"),
        (b"round", EntryType::Symlink, b"round"),
    ]))
    .unwrap();
    assert_eq!(read(&members, "b/layer.tar").unwrap(), b"layer");
    assert_eq!(read(&members, "c/layer.tar").unwrap(), b"layer");
    assert_eq!(read(&members, "d/layer.tar").unwrap(), b"top");
    assert_eq!(read(&members, "e/layer.tar").unwrap(), b"top");
    assert_eq!(read(&members, "f/layer.tar").unwrap(), b"near");
    assert_eq!(read(&members, "g/layer.tar").unwrap(), b"near");
    assert_eq!(members.find("two").unwrap_err().kind(), ErrorKind::Invalid);
    assert!(read(&members, "dangling").is_none());
    assert_eq!(members.find("round").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(members.files().count(), 11);
}

#[test]
fn names_and_links_that_lead_out_of_the_archive_are_refused() {
    for (name, kind, content) in [
        (&b"../x"[..], EntryType::Regular, &b"x"[..]),
        (b"/x", EntryType::Regular, b"x"),
        (b"a/../../x", EntryType::Regular, b"x"),
        (b"l", EntryType::Symlink, b"/etc/passwd"),
        (b"a/l", EntryType::Symlink, b"../../x"),
        (b"l", EntryType::Link, b"/etc/passwd"),
        (b"l", EntryType::Link, b"../x"),
        (b"../", EntryType::Directory, b""),
    ] {
        let e = index(&tar(&[(name, kind, content)])).map(drop).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{}", name.escape_ascii());
    }
}

#[test]
fn long_names_and_extended_headers_apply_to_the_next_entry() {
    let long = "n".repeat(200);
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header(b"", EntryType::Regular, 4), &long, &b"long"[..]).unwrap();
    builder.append_pax_extensions([("path", &b"pax"[..]), ("size", b"3")]).unwrap();
    // The header states a size of 0, and the extended header a size of 3. The size of 3 applies to
    // both reading and skipping.
    let mut tar = builder.into_inner().unwrap();
    tar.truncate(tar.len() - 1024);
    tar.extend(header(b"short", EntryType::Regular, 0).as_bytes());
    tar.extend([&b"xyz"[..], &[0; 509]].concat());
    tar.extend(header(b"after", EntryType::Regular, 0).as_bytes());
    let members = index(&tar).unwrap();
    assert_eq!(read(&members, &long).unwrap(), b"long");
    assert_eq!(read(&members, "pax").unwrap(), b"xyz");
    assert_eq!(read(&members, "after").unwrap(), b"");
    assert!(read(&members, "short").is_none());
}

#[test]
fn a_damaged_tar_is_an_error_and_a_missing_end_marker_is_not() {
    let whole = tar(&[(b"a", EntryType::Regular, &[1; 600])]);
    let lone_zero_block = [&[0; 512][..], &whole].concat();
    let mut bad_sum = whole.clone();
    bad_sum[0] ^= 1;
    let mut negative = header(b"a", EntryType::Regular, 0);
    negative.as_old_mut().size = [0xff; 12];
    negative.set_cksum();
    let sized = |size| header(b"a", EntryType::Regular, size).as_bytes().to_vec();
    let extension = |kind, size| header(b"x", kind, size).as_bytes().to_vec();
    for (tar, ok) in [
        (whole.clone(), true),
        (whole[..512 + 600].to_vec(), true),
        (whole[..512 + 1024 + 512].to_vec(), true),
        ([&whole[..], b"after the end"].concat(), true),
        (Vec::new(), true),
        (whole[..512 + 599].to_vec(), false),
        (whole[..300].to_vec(), false),
        (lone_zero_block, false),
        (bad_sum, false),
        (negative.as_bytes().to_vec(), false),
        (sized(1 << 62), false),
        (sized(u64::MAX), false),
        (extension(EntryType::GNULongName, 1 << 20), false),
        (extension(EntryType::XHeader, 1 << 40), false),
        ([extension(EntryType::GNULongName, 1), vec![b'n'; 512]].concat(), false),
        (extension(EntryType::GNUSparse, 0), false),
        (extension(EntryType::Directory, 512), false),
        (b"{\"not\": \"a tar\"}".repeat(64), false),
    ] {
        assert_eq!(index(&tar).is_ok(), ok, "{} bytes", tar.len());
    }
}
