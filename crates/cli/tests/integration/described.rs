//! Helpers that compare documents with the sources and the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::program::Program;

/// Returns the repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Replaces the escaped bars in a table line, so that the other bars separate cells.
pub(crate) fn unbarred(line: &str) -> String {
    line.replace("\\|", "\u{1}")
}

/// Returns the cells of a table line.
pub(crate) fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Returns the texts in backticks.
pub(crate) fn backticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the last name of a path such as `Client::builder`.
pub(crate) fn last_word(path: &str) -> &str {
    let last = path.rsplit("::").next().unwrap_or_default();
    let end = last.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(last.len());
    &last[..end]
}

/// The program's subcommands and options, as `--help` lists them.
#[derive(Default)]
pub(crate) struct Commands {
    program: Option<Program>,
    helps: BTreeMap<String, Option<String>>,
}

impl Commands {
    /// Returns the errors in a command line: another program, or an unknown subcommand or option.
    pub(crate) fn mistakes(&mut self, command: &str) -> Vec<String> {
        let mut words = command.split_whitespace();
        if words.next() != Some("longshore") {
            return vec![format!("not a command: {command}")];
        }
        let words: Vec<&str> = words.collect();
        let path: Vec<&str> = words.iter().copied().take_while(|w| is_subcommand(w)).collect();
        let Some(help) = self.help(&path) else {
            return vec![format!("longshore has no {}", path.join(" "))];
        };
        let options = words.iter().filter(|word| word.len() > 1 && word.starts_with('-'));
        options
            .map(|option| option.split('=').next().unwrap_or_default())
            .filter(|option| !help.split([' ', ',', '\n', '=', '[']).any(|word| word == *option))
            .map(|option| format!("{} has no {option}", path.join(" ")))
            .collect()
    }

    fn help(&mut self, path: &[&str]) -> Option<String> {
        let program = self.program.get_or_insert_with(Program::new);
        let help = self.helps.entry(path.join(" ")).or_insert_with(|| help_of(program, path));
        help.clone()
    }
}

/// Returns the names that the sources of the crates declare: all public items, and also private
/// functions, types, constants and modules.
pub(crate) fn public_items() -> BTreeSet<String> {
    let mut items = BTreeSet::new();
    for file in sources() {
        if !file.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        for line in text.lines() {
            items.extend(item(line.trim_start()).map(str::to_owned));
        }
    }
    items
}

/// Returns the name that a line declares, such as a function, a type, a public field or a variant.
fn item(line: &str) -> Option<&str> {
    let public = line.strip_prefix("pub ");
    let bare = public.unwrap_or(line);
    let bare = bare.strip_prefix("const ").filter(|rest| rest.starts_with("fn ")).unwrap_or(bare);
    let item = ["async fn ", "fn ", "struct ", "enum ", "trait ", "const ", "mod "]
        .iter()
        .find_map(|keyword| bare.strip_prefix(keyword))
        .or(public)
        .or_else(|| line.starts_with(|c: char| c.is_ascii_uppercase()).then_some(line))?;
    item.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Returns the Rust files of all crates, relative to the repository's root.
pub(crate) fn sources() -> Vec<PathBuf> {
    let root = root();
    let mut folders = vec![root.join("crates")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    files
}

/// Returns true if a word of a command line is a subcommand, not an option or a placeholder.
fn is_subcommand(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !word.starts_with('-')
}

fn help_of(program: &Program, path: &[&str]) -> Option<String> {
    let ended = program.run(path.iter().chain(&["--help"]));
    (ended.code == 0).then_some(ended.stdout)
}
