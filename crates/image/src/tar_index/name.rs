//! Normalizes names within an archive, and resolves links.

use longshore_core::{Error, ErrorKind, Result};

/// Normalizes the name of a member: removes `./`, repeated slashes and a trailing slash.
///
/// Returns `None` for the archive's root, and for a name that is not UTF-8, because such a name is
/// never looked up.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the name is absolute or contains `..`.
pub(crate) fn within(name: &[u8]) -> Result<Option<String>> {
    if name.starts_with(b"/") {
        return Err(refused(name, "an absolute name"));
    }
    if name.split(|b| *b == b'/').any(|part| part == b"..") {
        return Err(refused(name, "a name with \"..\""));
    }
    let Ok(name) = str::from_utf8(name) else {
        return Ok(None);
    };
    let parts: Vec<&str> = name.split('/').filter(|part| is_significant(part)).collect();
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Returns the folder that contains a member. The empty text stands for the archive's root.
pub(crate) fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Returns the names that a link's target may mean, relative to these folders, in order of
/// precedence.
///
/// A symbolic link is relative to its own folder, and a hard link to the archive's root. However,
/// Docker also resolved the symbolic links of layers from the root, and archives of some vendors
/// depend on this: `<id>/layer.tar` is a link to `.<hash>.tar` in the root.
///
/// # Errors
/// Same as [`link_target`], for the first folder.
pub(super) fn link_targets(link: &str, folders: [&str; 2], to: &[u8]) -> Result<Vec<String>> {
    let [first, second] = folders;
    let first = link_target(first, to)?;
    let second = link_target(second, to).ok().filter(|second| *second != first);
    // A target that is the link itself is dropped if another target is possible.
    let mut targets: Vec<String> = std::iter::once(first).chain(second).collect();
    if targets.len() > 1 {
        targets.retain(|target| target != link);
    }
    Ok(targets)
}

/// Returns the name that a link in `folder` leads to.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the target is outside the archive.
fn link_target(folder: &str, to: &[u8]) -> Result<String> {
    let refuse = || refused(to, "a link that leads out of it");
    let to = str::from_utf8(to).map_err(|_| refuse())?;
    if to.starts_with('/') {
        return Err(refuse());
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| is_significant(part)).collect();
    for part in to.split('/').filter(|part| is_significant(part)) {
        if part == ".." {
            parts.pop().ok_or_else(refuse)?;
        } else {
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}

fn is_significant(part: &str) -> bool {
    !part.is_empty() && part != "."
}

fn refused(name: &[u8], what: &'static str) -> Error {
    Error::new(ErrorKind::Invalid)
        .at(String::from_utf8_lossy(name))
        .detail(format!("the archive has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_or_refused() {
        for (name, expected) in [
            (&b"a/b"[..], Some(Some("a/b"))),
            (b"./a//b/", Some(Some("a/b"))),
            (b"./", Some(None)),
            (b"", Some(None)),
            (b"a..b/..c", Some(Some("a..b/..c"))),
            (b"\xff", Some(None)),
            (b"/a", None),
            (b"..", None),
            (b"a/../b", None),
            (b"a/..", None),
            (b"\xff/../x", None),
        ] {
            let found = within(name).ok();
            let expected = expected.map(|name| name.map(str::to_owned));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_link_is_resolved_from_its_folder_and_from_the_root() {
        for (link, folders, to, expected) in [
            ("a/l", ["a", ""], ".x.tar", &["a/.x.tar", ".x.tar"][..]),
            ("a/l", ["", "a"], "b", &["b", "a/b"]),
            ("a/l", ["a", ""], "../b/l", &["b/l"]),
            ("a/l", ["a", ""], "l", &["l"]),
            ("l", ["", ""], "l", &["l"]),
        ] {
            assert_eq!(
                link_targets(link, folders, to.as_bytes()).unwrap(),
                expected,
                "{link}: {to}"
            );
        }
        assert!(link_targets("l", ["", ""], b"../b").is_err());
    }

    #[test]
    fn a_link_may_lead_to_a_parent_folder_but_not_out_of_the_archive() {
        for (folder, to, expected) in [
            ("a", "../b/layer.tar", Some("b/layer.tar")),
            ("", "b", Some("b")),
            ("a/b", "c", Some("a/b/c")),
            ("a", "../../b", None),
            ("", "../b", None),
            ("a", "/etc/passwd", None),
        ] {
            assert_eq!(link_target(folder, to.as_bytes()).ok().as_deref(), expected, "{to}");
        }
    }
}
