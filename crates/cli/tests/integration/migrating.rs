//! Checks `docs/src/migrating.md` against the code.

use std::collections::BTreeSet;

use crate::described::{backticked, cells, last_word, public_items, root, sources, unbarred};

#[test]
fn every_library_call_in_the_migration_tables_exists() {
    let items = public_items();
    let missing: Vec<String> = rows()
        .iter()
        .flat_map(|row| backticked(&row.library))
        .filter(|call| !items.contains(last_word(call)))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_variable_in_the_migration_document_is_read() {
    let sources: String = sources()
        .iter()
        .filter(|file| file.components().any(|part| part.as_os_str() == "src"))
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap())
        .collect();
    let text = text();
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let ours: BTreeSet<&str> = words.filter(|word| word.starts_with("LONGSHORE_")).collect();
    assert!(!ours.is_empty());
    let unread: Vec<_> =
        ours.iter().filter(|word| !sources.contains(&format!("\"{word}\""))).collect();
    assert!(unread.is_empty(), "{unread:#?}");
}

/// A row of a table, with its cell of library calls.
struct Row {
    library: String,
}

fn text() -> String {
    std::fs::read_to_string(root().join("docs/src/migrating.md")).unwrap()
}

fn rows() -> Vec<Row> {
    let text = text();
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| theirs"));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let line = unbarred(line);
    let [_, library, _, _] = cells(&line)[..] else {
        panic!("expected four cells: {line}");
    };
    Row { library: library.to_owned() }
}
