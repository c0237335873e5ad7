use std::path::Path;

use longshore_core::{
    Annotations, Descriptor, Digest, ErrorKind, Folders, MediaType, Memory, Result, Source as _,
    Target as _, place_files,
};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::compression::{UnpackLimits, gzip};

/// An entry in the format of oras-go: `<title>/…`, without a slash at the end of a folder's name.
type Written<'a> = (&'a str, EntryType, &'a str);

fn tar(entries: &[Written<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        let is_file = *kind == EntryType::Regular;
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            header.set_link_name_literal(content).unwrap();
        }
        header.set_cksum();
        builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Pulls an archive with this title. `unpacked` is the digest in its annotation.
async fn pulled(title: &str, tar: &[u8], unpacked: Option<&str>, root: &Path) -> Result<()> {
    let mut gzip = gzip(Vec::new());
    std::io::Write::write_all(&mut gzip, tar).unwrap();
    let bytes = gzip.finish().unwrap();
    let mut blob = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, &bytes);
    blob.annotations.insert(Annotations::TITLE, title);
    blob.annotations.insert(Annotations::UNPACK, "true");
    if let Some(digest) = unpacked {
        blob.annotations.insert(Annotations::UNPACKED_DIGEST, digest);
    }
    let store = Memory::new();
    store.push_blob(&blob, bytes::Bytes::from(bytes).into()).await.unwrap();
    let file = place_files(vec![blob], Folders::Unpacked)?.remove(0);
    unpack_folder(&store, &file, root, UnpackLimits::default()).await.map(drop)
}

/// Lists everything below a folder: paths, with the content of files and the targets of links.
fn listed(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            if metadata.is_symlink() {
                found.push(format!("{shown} -> {}", std::fs::read_link(&path).unwrap().display()));
            } else if metadata.is_dir() {
                found.push(format!("{shown}/"));
                folders.push(path);
            } else {
                found.push(format!("{shown}={}", std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

const DIR: EntryType = EntryType::Directory;
const FILE: EntryType = EntryType::Regular;
const HARD: EntryType = EntryType::Link;
const SYMBOLIC: EntryType = EntryType::Symlink;

#[cfg(unix)]
#[tokio::test]
async fn a_folder_in_the_format_of_oras_is_unpacked_to_the_same_tree() {
    for (title, prefix) in [("site", "site/"), ("a/site", "a/site/"), (".", "")] {
        let named = |name: &str| format!("{prefix}{name}");
        let folder = if title == "." { "." } else { title };
        let tar = tar(&[
            (folder, DIR, ""),
            (&named("a.txt"), FILE, "one"),
            (&named("deep"), DIR, ""),
            (&named("deep/b.txt"), FILE, "two"),
            (&named("deep/up"), SYMBOLIC, "../a.txt"),
            (&named("hard"), HARD, &named("a.txt")),
            (&named("unresolved"), SYMBOLIC, "not/there"),
        ]);
        let root = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(&tar).to_string();
        pulled(title, &tar, Some(&digest), root.path()).await.unwrap();
        let expected = [
            "a.txt=one",
            "deep/",
            "deep/b.txt=two",
            "deep/up -> ../a.txt",
            "hard=one",
            "unresolved -> not/there",
        ];
        assert_eq!(listed(&root.path().join(title)), expected, "{title}");
        // Pull once more, over the existing files.
        pulled(title, &tar, None, root.path()).await.unwrap();
        assert_eq!(listed(&root.path().join(title)), expected, "{title}");
    }
}

#[tokio::test]
async fn nothing_is_written_from_an_archive_with_unsafe_or_inconsistent_entries() {
    let cases: &[&[Written<'_>]] = &[
        &[("d/ok", FILE, "x"), ("/d/abs", FILE, "x")],
        &[("d/ok", FILE, "x"), ("d/../out", FILE, "x")],
        &[("d/ok", FILE, "x"), ("other/x", FILE, "x")],
        &[("d/ok", FILE, "x"), ("dd", FILE, "x")],
        &[("d", FILE, "x")],
        &[("d", SYMBOLIC, ".")],
        &[("d/link", SYMBOLIC, "/etc")],
        &[("d/link", SYMBOLIC, "..")],
        &[("d/link", SYMBOLIC, "sub"), ("d/link/x", FILE, "x")],
        &[("d/link/x", FILE, "x"), ("d/link", SYMBOLIC, "sub")],
        &[("d/file", FILE, "x"), ("d/file/x", FILE, "x")],
        &[("d/hard", HARD, "etc/passwd")],
        &[("d/hard", HARD, "/etc/passwd")],
        &[("d/hard", HARD, "d/../../x")],
        &[("d/hard", HARD, "d/missing")],
        &[("d/link", SYMBOLIC, "x"), ("d/hard", HARD, "d/link")],
        &[("d/same", FILE, "x"), ("d/same", FILE, "y")],
        &[("d/same", FILE, "x"), ("d/./same", SYMBOLIC, "y")],
        &[("d/pipe", EntryType::Fifo, "")],
        &[("d/device", EntryType::Char, "")],
        &[("d/d", DIR, ""), ("d/d", FILE, "a folder's name")],
    ];
    for entries in cases {
        let root = tempfile::tempdir().unwrap();
        let e = pulled("d", &tar(entries), None, root.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{entries:?}: {e}");
        assert_eq!(listed(root.path()), [""; 0], "{entries:?}");
    }
    let good = tar(&[("d/ok", FILE, "x")]);
    let other = Digest::sha256(b"other").to_string();
    for (digest, kind) in
        [(other.as_str(), ErrorKind::DigestMismatch), ("no digest", ErrorKind::Invalid)]
    {
        let root = tempfile::tempdir().unwrap();
        let e = pulled("d", &good, Some(digest), root.path()).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        assert_eq!(listed(root.path()), [""; 0], "{digest}");
    }
}

/// A folder that can be packed can also be unpacked, up to the depth limit.
#[tokio::test]
async fn a_folder_at_the_depth_limit_is_packed_and_unpacked() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("d");
    let mut deepest = folder.clone();
    deepest.extend(std::iter::repeat_n("d", 256));
    std::fs::create_dir_all(&deepest).unwrap();
    std::fs::write(deepest.join("file"), "x").unwrap();
    let archive = FolderArchive::of(&folder, MediaType::OCI_LAYER_GZIP).await.unwrap();
    let (store, blob) = (Memory::new(), archive.descriptor().clone());
    store.push_blob(&blob, archive.body()).await.unwrap();
    let file = place_files(vec![blob], Folders::Unpacked).unwrap().remove(0);
    let back = root.path().join("back");
    unpack_folder(&store, &file, &back, UnpackLimits::default()).await.unwrap();
    assert_eq!(listed(&back.join("d")), listed(&folder));

    std::fs::create_dir(deepest.join("d")).unwrap();
    let e = FolderArchive::of(&folder, MediaType::OCI_LAYER_GZIP).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
}

/// The targets of links are kept in memory. The size of each target is limited to the length of a
/// path, and the total size is also limited.
#[tokio::test]
async fn the_size_of_link_targets_is_limited() {
    let link = |builder: &mut Builder<Vec<u8>>, name: &str, to: &str| {
        let mut header = Header::new_gnu();
        header.set_entry_type(SYMBOLIC);
        header.set_size(0);
        builder.append_link(&mut header, name, to).unwrap();
    };
    for (links, size, kind) in [(1, 5000, ErrorKind::Invalid), (17_000, 4000, ErrorKind::TooLarge)]
    {
        let mut builder = Builder::new(Vec::new());
        let to = "x".repeat(size);
        (0..links).for_each(|n| link(&mut builder, &format!("d/{n}"), &to));
        let root = tempfile::tempdir().unwrap();
        let tar = builder.into_inner().unwrap();
        let e = pulled("d", &tar, None, root.path()).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        assert_eq!(listed(root.path()), [""; 0]);
    }
}

#[tokio::test]
async fn the_depth_of_nested_folders_is_limited() {
    let mut builder = Builder::new(Vec::new());
    let name = format!("d{}", "/d".repeat(300));
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    builder.append_data(&mut header, name, &b""[..]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let tar = builder.into_inner().unwrap();
    let e = pulled("d", &tar, None, root.path()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
    assert_eq!(listed(root.path()), [""; 0]);
}

/// The archive of a few KiB unpacks to more than the limit.
#[tokio::test]
async fn a_decompression_bomb_leaves_no_files() {
    let root = tempfile::tempdir().unwrap();
    let mut limits = UnpackLimits::default();
    limits.output = 1 << 20;
    let bytes = {
        let mut gzip = gzip(Vec::new());
        let content = tar(&[("d/zeros", FILE, &"0".repeat(2 << 20))]);
        std::io::Write::write_all(&mut gzip, &content).unwrap();
        gzip.finish().unwrap()
    };
    assert!(bytes.len() < 16 << 10);
    let mut blob = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, &bytes);
    blob.annotations.insert(Annotations::TITLE, "d");
    blob.annotations.insert(Annotations::UNPACK, "true");
    let store = Memory::new();
    store.push_blob(&blob, bytes::Bytes::from(bytes).into()).await.unwrap();
    let file = place_files(vec![blob], Folders::Unpacked).unwrap().remove(0);
    let e = unpack_folder(&store, &file, root.path(), limits).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
    assert_eq!(listed(root.path()), [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn conflicts_are_reported_before_any_file_is_moved() {
    let outside = tempfile::tempdir().unwrap();
    let tar = tar(&[("d/a", FILE, "new"), ("d/sub/x", FILE, "x"), ("d/z", FILE, "new")]);
    for obstacle in ["d", "d/sub"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(obstacle);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
        let e = pulled("d", &tar, None, root.path()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
        assert_eq!(listed(outside.path()), [""; 0], "{obstacle}");
        assert!(!root.path().join("d/a").exists(), "{obstacle}");
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("d/z")).unwrap();
    let e = pulled("d", &tar, None, root.path()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
    assert_eq!(listed(root.path()), ["d/", "d/z/"]);
    // A link in the place of a file is replaced. The target of the link stays unchanged.
    let root = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "old").unwrap();
    std::fs::create_dir(root.path().join("d")).unwrap();
    std::os::unix::fs::symlink(&victim, root.path().join("d/a")).unwrap();
    pulled("d", &tar, None, root.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(root.path().join("d/a")).unwrap(), "new");
}

#[cfg(unix)]
#[tokio::test]
async fn a_packed_folder_contains_no_times_or_owners() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("site");
    std::fs::create_dir_all(folder.join("b/empty")).unwrap();
    let long = "n".repeat(200);
    for name in ["c", "a", "b/x", &long] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    std::fs::set_permissions(folder.join("a"), PermissionsExt::from_mode(0o6750)).unwrap();
    std::os::unix::fs::symlink("b/x", folder.join("d")).unwrap();
    let archive = FolderArchive::of(&folder, MediaType::OCI_LAYER_GZIP).await.unwrap();
    let again = FolderArchive::of(&folder.join("."), MediaType::OCI_LAYER_GZIP).await.unwrap();
    assert_eq!(again.descriptor(), archive.descriptor());

    let store = Memory::new();
    let blob = archive.descriptor().clone();
    store.push_blob(&blob, archive.body()).await.unwrap();
    let content = store.blob(&blob).await.unwrap().bytes(1 << 20).await.unwrap();
    let mut plain = Vec::new();
    let mut decoder = crate::Decoder::new(&content[..], UnpackLimits::default()).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
    let unpacked = Digest::sha256(&plain).to_string();
    assert_eq!(blob.annotations.get(Annotations::UNPACKED_DIGEST), Some(unpacked.as_str()));

    let mut names = Vec::new();
    for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()),
            (0, 0, 0)
        );
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        if name == "site/a" {
            assert_eq!(header.mode().unwrap(), 0o750);
        }
        names.push(name);
    }
    let last = format!("site/{long}");
    let expected =
        ["site", "site/a", "site/b", "site/b/empty", "site/b/x", "site/c", "site/d", last.as_str()];
    assert_eq!(names, expected);
    let file = place_files(vec![blob], Folders::Unpacked).unwrap().remove(0);
    let back = root.path().join("back");
    unpack_folder(&store, &file, &back, UnpackLimits::default()).await.unwrap();
    assert_eq!(listed(&back.join("site")), listed(&folder));
}

#[cfg(unix)]
#[tokio::test]
async fn entries_that_readers_refuse_are_not_packed() {
    use std::os::unix::fs::symlink;
    type Make = fn(&Path);
    let cases: &[(&str, Make)] = &[
        ("a link out", |folder| symlink("../x", folder.join("link")).unwrap()),
        ("an absolute link", |folder| symlink(folder, folder.join("link")).unwrap()),
        ("a socket", |folder| {
            drop(std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap());
        }),
        ("a name", |folder| {
            let name = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
            std::fs::write(folder.join::<&std::ffi::OsStr>(name), "x").unwrap();
        }),
    ];
    for (what, make) in cases {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let e = FolderArchive::of(folder.path(), MediaType::OCI_LAYER_GZIP).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{what}: {e}");
    }
    let e = FolderArchive::of(Path::new("/"), MediaType::OCI_LAYER_GZIP).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "a title is needed: {e}");
}
