//! Checks `tests/parity.md` against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::described::{Commands, backticked, cells, last_word, public_items, root, unbarred};

#[test]
fn rows_are_numbered_without_gaps() {
    let rows = rows();
    let sections: BTreeSet<&str> = rows.iter().map(|row| &row.id[..1]).collect();
    assert_eq!(sections.into_iter().collect::<String>(), "ABCDEFGHIJKL");
    let mut last = ("", 0);
    for Row { id, .. } in &rows {
        let (section, number) = (&id[..1], id[1..].parse().unwrap());
        let expected = if section == last.0 { last.1 + 1 } else { 1 };
        assert_eq!(number, expected, "{id} after {}{}", last.0, last.1);
        last = (section, number);
    }
}

#[test]
fn every_row_has_a_test_and_a_call_or_command() {
    let bare = rows()
        .into_iter()
        .filter(|row| (row.library.is_empty() && row.commands.is_empty()) || row.tests.is_empty());
    let bare: Vec<String> = bare.map(|row| row.id).collect();
    assert!(bare.is_empty(), "rows without a call or command, or without a test: {bare:?}");
}

#[test]
fn every_listed_test_exists() {
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
fn every_listed_library_call_exists() {
    let items = public_items();
    let mut wrong = Vec::new();
    for row in rows() {
        let missing = row.library.iter().filter(|call| !items.contains(last_word(call)));
        wrong.extend(missing.map(|call| format!("{}: no public item {call}", row.id)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_listed_command_exists() {
    let mut commands = Commands::default();
    let mut wrong = Vec::new();
    for row in rows() {
        let mistakes = row.commands.iter().flat_map(|command| commands.mistakes(command));
        wrong.extend(mistakes.map(|mistake| format!("{}: {mistake}", row.id)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A row of the table.
struct Row {
    id: String,
    library: Vec<String>,
    commands: Vec<String>,
    tests: Vec<Link>,
}

/// The name of a test, and its file relative to the repository's root.
struct Link {
    name: String,
    file: PathBuf,
}

fn rows() -> Vec<Row> {
    let map = std::fs::read_to_string(root().join("tests/parity.md")).unwrap();
    map.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| row"))
        .map(row)
        .collect()
}

fn row(line: &str) -> Row {
    let line = unbarred(line);
    let [id, _, library, command, tests, _] = cells(&line)[..] else {
        panic!("expected six cells: {line}");
    };
    Row {
        id: id.to_owned(),
        library: backticked(library),
        commands: backticked(command),
        tests: links(tests),
    }
}

fn links(cell: &str) -> Vec<Link> {
    let link = |text: &str| {
        let (name, rest) = text.split_once("](../")?;
        let (file, _) = rest.split_once(')')?;
        Some(Link { name: name.trim_matches('`').to_owned(), file: file.into() })
    };
    cell.split('[').filter_map(link).collect()
}

/// Returns the names of the tests in a file, without ignored tests.
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
