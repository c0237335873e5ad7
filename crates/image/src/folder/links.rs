//! Where symbolic links within a folder lead: pure.

use std::collections::BTreeMap;

use longshore_core::{Error, ErrorKind, Result};

/// Checks that no link leads out of the folder, through other links neither. What a link leads to need
/// not be there.
///
/// - `links`: what each links to, by its path below the folder.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) with the link.
pub(super) fn check(links: &BTreeMap<String, String>) -> Result<()> {
    links.keys().try_for_each(|path| {
        let refused = |why| {
            let clause = format!("a symbolic link in the folder {why}");
            Error::new(ErrorKind::Invalid).at(path).detail(clause)
        };
        follow(path, links).map_err(refused)
    })
}

fn follow(link: &str, links: &BTreeMap<String, String>) -> Result<(), &'static str> {
    let mut place: Vec<&str> = Vec::new();
    let mut ahead: Vec<&str> = link.split('/').rev().collect();
    let mut followed = 0;
    while let Some(part) = ahead.pop() {
        match part {
            "" | "." => {}
            ".." => drop(place.pop().ok_or("leads out of it")?),
            name => place.push(name),
        }
        let Some(to) = links.get(&place.join("/")) else { continue };
        followed += 1;
        if followed > LINK_LIMIT {
            return Err("leads to too many others");
        }
        if to.starts_with('/') || (cfg!(windows) && to.contains(['\\', ':'])) {
            return Err("leads out of it: its target is absolute");
        }
        place.pop();
        ahead.extend(to.split('/').rev());
    }
    Ok(())
}

/// 40, as Linux follows.
const LINK_LIMIT: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_go_anywhere_within_and_nowhere_else() {
        for (links, good) in [
            (&[("a", "b")][..], true),
            (&[("a/b/c", "../../d")], true),
            (&[("a", ".")], true),
            (&[("a/b", "..")], true),
            (&[("a", "b"), ("b", "c/d")], true),
            (&[("a", "/etc/passwd")], false),
            (&[("a", "..")], false),
            (&[("a", "b/../..")], false),
            (&[("a/b", "../../x")], false),
            // By their texts alone, both stay within.
            (&[("a/b/top", "../.."), ("x", "a/b/top/../y")], false),
            (&[("here", "."), ("x", "here/here/..")], false),
            (&[("a", "a")], false),
            (&[("a", "b"), ("b", "a")], false),
        ] {
            let map =
                links.iter().map(|(path, to)| ((*path).to_owned(), (*to).to_owned())).collect();
            assert_eq!(check(&map).is_ok(), good, "{links:?}");
        }
    }
}
