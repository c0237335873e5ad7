//! The map of what the predecessors did, held against the code: `tests/parity.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::program::Program;

/// The rows of the predecessors' matrix: a section's letter, and how many rows it has.
const SECTIONS: [(char, usize); 12] = [
    ('A', 22),
    ('B', 27),
    ('C', 10),
    ('D', 3),
    ('E', 8),
    ('F', 9),
    ('G', 23),
    ('H', 20),
    ('I', 14),
    ('J', 7),
    ('K', 7),
    ('L', 4),
];

#[test]
fn no_row_is_missing_or_there_twice() {
    let expected = SECTIONS.iter().flat_map(|(s, n)| (1..=*n).map(move |i| format!("{s}{i}")));
    let found: Vec<String> = rows().into_iter().map(|row| row.id).collect();
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn every_test_of_the_map_exists() {
    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows() {
        for Link { name, file } in row.tests {
            let tests = files.entry(file.clone()).or_insert_with(|| tests_in(&file));
            if !tests.contains(&name) {
                wrong.push(format!("{}: no test {name} in {}", row.id, file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_library_call_of_the_map_exists() {
    let items = public_items();
    let mut wrong = Vec::new();
    for row in rows() {
        for call in row.library {
            let last = call.rsplit("::").next().unwrap_or_default();
            let last: String =
                last.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !items.contains(&last) {
                wrong.push(format!("{}: no public item {call}", row.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_command_of_the_map_exists() {
    let program = Program::new();
    let mut helps = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows() {
        for command in row.commands {
            let mut words = command.split_whitespace();
            if words.next() != Some("longshore") {
                wrong.push(format!("{}: not a command: {command}", row.id));
                continue;
            }
            let words: Vec<&str> = words.collect();
            let path: Vec<&str> = words.iter().copied().take_while(|w| is_subcommand(w)).collect();
            let help = helps.entry(path.join(" ")).or_insert_with(|| help_of(&program, &path));
            let Some(help) = help else {
                wrong.push(format!("{}: longshore has no {}", row.id, path.join(" ")));
                continue;
            };
            for option in words.iter().filter(|word| word.starts_with('-')) {
                let option = option.split('=').next().unwrap_or_default();
                if !help.split([' ', ',', '\n', '=', '[']).any(|word| word == option) {
                    wrong.push(format!("{}: {} has no {option}", row.id, path.join(" ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A line of the map.
struct Row {
    id: String,
    library: Vec<String>,
    commands: Vec<String>,
    tests: Vec<Link>,
}

/// A test's name and its file, below the repository's root.
struct Link {
    name: String,
    file: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn rows() -> Vec<Row> {
    let map = std::fs::read_to_string(root().join("tests/parity.md")).unwrap();
    map.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| row"))
        .map(row)
        .collect()
}

fn row(line: &str) -> Row {
    // `\|` is a bar within a cell.
    let line = line.replace("\\|", "\u{1}");
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [id, _, library, command, tests, _] = cells[..] else {
        panic!("expected six cells: {line}");
    };
    Row {
        id: id.to_owned(),
        library: backticked(library),
        commands: backticked(command),
        tests: links(tests),
    }
}

fn backticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn links(cell: &str) -> Vec<Link> {
    let link = |text: &str| {
        let (name, rest) = text.split_once("](../")?;
        let (file, _) = rest.split_once(')')?;
        Some(Link { name: name.trim_matches('`').to_owned(), file: file.into() })
    };
    cell.split('[').filter_map(link).collect()
}

/// The functions of a file that are run as tests: not those that are ignored.
fn tests_in(file: &Path) -> BTreeSet<String> {
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return BTreeSet::new() };
    let mut tests = BTreeSet::new();
    let mut attributes = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            let is_test = attributes
                .iter()
                .any(|a| a.starts_with("#[test") || a.starts_with("#[tokio::test"));
            let is_ignored = attributes.iter().any(|a| a.starts_with("#[ignore"));
            if is_test && !is_ignored {
                tests.extend(rest.split('(').next().map(str::to_owned));
            }
            attributes.clear();
        } else if !line.starts_with("//") {
            attributes.clear();
        }
    }
    tests
}

/// The names of everything public in the crates: items, fields, methods, variants.
fn public_items() -> BTreeSet<String> {
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

/// What a line declares: a function, also of a trait; a type; a public field; a variant.
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

/// The Rust files of all crates, below the repository's root.
fn sources() -> Vec<PathBuf> {
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

/// Whether a word of a command line names a subcommand: options and what stands for a value do not.
fn is_subcommand(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !word.starts_with('-')
}

fn help_of(program: &Program, path: &[&str]) -> Option<String> {
    let ended = program.run(path.iter().chain(&["--help"]));
    (ended.code == 0).then_some(ended.stdout)
}
