//! `cargo xtask book`: checks the chapters in `docs/src`, and builds the book.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::step::succeed;

/// Checks the chapters, and builds the book into `docs/book` if mdBook is installed.
///
/// # Errors
/// Same as [`check`]; the errors of mdBook.
pub(crate) fn run() -> Result<(), Failure> {
    check()?;
    match Command::new("mdbook").arg("--version").output() {
        Ok(_) => succeed(Command::new("mdbook").args(["build", "docs"])),
        Err(_) => {
            println!("the links are correct; mdbook is not installed, so no book was built");
            Ok(())
        }
    }
}

/// Checks that the summary lists exactly the existing chapters, and that each relative link leads
/// to an existing file and heading.
///
/// # Errors
/// Names each defect with its file.
pub(crate) fn check() -> Result<(), Failure> {
    let chapters = chapters()?;
    let mut defects = Vec::new();
    let listed: BTreeSet<String> =
        links(&read(&chapters_folder().join(SUMMARY))?).map(|link| link.to_owned()).collect();
    let names = chapters.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    let names: BTreeSet<String> = names.filter(|name| name != SUMMARY).collect();
    defects.extend(names.difference(&listed).map(|name| format!("{SUMMARY} does not list {name}")));
    let readme = PathBuf::from("README.md");
    for chapter in chapters.iter().chain([&readme]) {
        let text = read(chapter)?;
        for link in links(&text).filter(|link| !link.contains("://")) {
            if let Some(defect) = defect(chapter, link)? {
                defects.push(format!("{}: the link to {link}: {defect}", chapter.display()));
            }
        }
    }
    match defects.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(defects.join("\n"))),
    }
}

/// Returns what is wrong with a relative link in a chapter.
fn defect(chapter: &Path, link: &str) -> Result<Option<String>, Failure> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let folder = chapter.parent().unwrap_or(Path::new(""));
    let target = if file.is_empty() { chapter.to_owned() } else { folder.join(file) };
    if !target.exists() {
        return Ok(Some("there is no such file".to_owned()));
    }
    if heading.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return Ok(None);
    }
    let text = read(&target)?;
    let is_there = headings(&text).any(|found| anchor(found) == heading);
    Ok((!is_there).then(|| "there is no such heading".to_owned()))
}

fn chapters() -> Result<Vec<PathBuf>, Failure> {
    let folder = chapters_folder();
    let entries = std::fs::read_dir(folder).map_err(|e| Failure::io(folder, &e))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    Ok(paths)
}

fn chapters_folder() -> &'static Path {
    Path::new("docs/src")
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| Failure::io(path, &e))
}

/// Returns the lines of a text outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the targets of the links in a text: `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// Returns the anchor of a heading, as GitHub and mdBook form it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

const SUMMARY: &str = "SUMMARY.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_headings_outside_code_are_found() {
        let text =
            "# One: `two` & Three\n[a](b.md#c), [d](e)\n```\n[no](link)\n# no\n```\n[x](y)\n";
        assert_eq!(links(text).collect::<Vec<_>>(), ["b.md#c", "e", "y"]);
        assert_eq!(headings(text).map(anchor).collect::<Vec<_>>(), ["one-two--three"]);
    }
}
