//! Checks the targets of symbolic links within a folder, without access to files.

use std::collections::BTreeMap;

use longshore_core::{Error, ErrorKind, Result};

use super::plan::DEPTH_LIMIT;

/// Checks that no link leads out of the folder, directly or through other links. The target of a
/// link need not exist.
///
/// - `links`: the target of each link, by the link's path below the folder.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid), which names the link.
pub(super) fn check(links: &BTreeMap<String, String>) -> Result<()> {
    check_within(STEP_LIMIT, links)
}

/// Performs the check with a limit on the number of steps for all links together.
fn check_within(mut steps: usize, links: &BTreeMap<String, String>) -> Result<()> {
    links.keys().try_for_each(|path| {
        let refused = |why| {
            let clause = format!("the symbolic link {why}");
            Error::new(ErrorKind::Invalid).at(path).detail(clause)
        };
        follow(path, links, &mut steps).map_err(refused)
    })
}

fn follow(
    link: &str,
    links: &BTreeMap<String, String>,
    steps: &mut usize,
) -> Result<(), &'static str> {
    let mut position: Vec<&str> = Vec::new();
    let mut remaining: Vec<&str> = link.split('/').rev().collect();
    let mut followed = 0;
    while let Some(part) = remaining.pop() {
        *steps = steps.checked_sub(1).ok_or("and the other links take too many steps to follow")?;
        match part {
            "" | "." => {}
            ".." => drop(position.pop().ok_or("leads out of the folder")?),
            // No real link leads this deep.
            _ if position.len() > DEPTH_LIMIT => return Err("leads to a path that is too deep"),
            name => position.push(name),
        }
        let Some(to) = links.get(&position.join("/")) else { continue };
        followed += 1;
        if followed > LINK_LIMIT {
            return Err("leads through too many other links");
        }
        if to.starts_with('/') || (cfg!(windows) && to.contains(['\\', ':'])) {
            return Err("leads out of the folder: its target is absolute");
        }
        position.pop();
        remaining.extend(to.split('/').rev());
    }
    Ok(())
}

/// Maximum number of links to follow: 40, as in Linux.
const LINK_LIMIT: usize = 40;
/// 10,000,000 path components. Real trees need a few for each link. Without this limit, a malicious
/// archive could keep a processor busy for hours.
const STEP_LIMIT: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_links_fails_at_the_step_limit_and_at_the_depth_limit() {
        let chain = (0..39).map(|n| (format!("chain{n}"), "a/../".repeat(800) + &next(n)));
        let heads = (0..1000).map(|n| (format!("head{n}"), "chain0".to_owned()));
        let links: BTreeMap<_, _> = chain.chain(heads).collect();
        let e = check_within(100_000, &links).unwrap_err();
        assert!(e.to_string().contains("too many steps"), "{e}");
        let deep = BTreeMap::from([("a".to_owned(), "b/".repeat(300))]);
        assert!(check(&deep).unwrap_err().to_string().contains("too deep"));
    }

    fn next(n: usize) -> String {
        if n == 38 { "end".to_owned() } else { format!("chain{}", n + 1) }
    }

    #[test]
    fn a_link_must_not_lead_out_of_the_folder() {
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
            // Each target by itself stays within the folder.
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
