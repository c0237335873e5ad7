//! Checks that the program accepts the commands in the project's documents.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _, Parser as _};

use super::{Arguments, calls};

#[test]
fn every_command_in_the_documents_is_accepted() {
    let mut count = 0;
    let mut refused = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for command in commands(&text) {
            count += 1;
            refused.extend(mistake(&command).map(|e| format!("{}: {e}", path.display())));
        }
    }
    assert!(count > 250, "{count} commands were found");
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_command_in_the_migration_tables_is_complete() {
    let text = std::fs::read_to_string(root().join("docs/src/migrating.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `") || line.starts_with("| script"));
    let cells = rows.filter_map(|row| row.split(" | ").nth(2).map(str::to_owned));
    let named: Vec<String> = cells.flat_map(|cell| spans(&cell)).collect();
    assert!(named.len() > 100, "{} commands were found", named.len());
    let refused: Vec<_> = named.iter().filter_map(|command| not_taken(command)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn an_invalid_command_in_a_document_is_reported() {
    for wrong in [
        "longshore manifest put R",
        "longshore request H",
        "longshore append R FILE",
        "longshore artifact make R",
        "longshore digest R --nonsense",
        "longshore digest --nonsense",
        "longshore nonsense",
        "longshore blob nonsense",
        "longshore blob get H/a/b@sha256:…shorter",
    ] {
        assert!(mistake(wrong).is_some(), "{wrong}");
    }
    for right in
        ["longshore digest R", "longshore digest", "longshore blob", "longshore copy --json"]
    {
        assert_eq!(mistake(right), None, "{right}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the documents for users: those at the root, those in `docs`, and `tests/parity.md`.
fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs/src")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    pages.push(root().join("tests/parity.md"));
    pages
}

/// Returns the `longshore` commands in backticks, and those after a prompt in code blocks.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let text = text.replace("\\\n", " ");
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 0 {
            found.extend(spans(part));
        } else {
            let typed = part.lines().filter_map(|line| line.trim().strip_prefix("$ "));
            found.extend(typed.map(str::to_owned));
        }
    }
    found.retain(|command| command.starts_with("longshore "));
    found
}

/// Returns the `longshore` commands in backticks, with line breaks replaced by spaces.
fn spans(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(|span| span.starts_with("longshore "))
        .map(|span| span.replace('\n', " "))
        .collect()
}

/// Returns the error in a command from a document, if any. In a command without arguments
/// (`longshore blob get`, `longshore copy --json`), only the subcommands and options must exist.
/// The parser must accept every other command.
fn mistake(command: &str) -> Option<String> {
    let mut known = Arguments::command();
    known.build();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let path = words.iter().take_while(|word| descend(&mut known, word)).count();
    let rest = &words[path..];
    let is_option = |word: &&str| word.len() > 1 && word.starts_with('-');
    if !rest.iter().all(is_option) || rest.iter().any(|word| word.contains('=')) {
        return not_taken(command);
    }
    let unknown = rest.iter().find(|word| !has(&known, word));
    unknown.map(|option| format!("{command}: no {option}"))
}

fn descend(known: &mut Command, word: &str) -> bool {
    let below = known.find_subcommand(word).cloned();
    below.map(|below| *known = below).is_some()
}

fn has(command: &Command, option: &str) -> bool {
    let name = option.trim_start_matches('-');
    command.get_arguments().any(|argument| match option.starts_with("--") {
        true => argument.get_long_and_visible_aliases().is_some_and(|all| all.contains(&name)),
        false => name.chars().all(|c| argument.get_short() == Some(c)),
    })
}

/// Replaces the placeholders of a command with values, and returns the parser's error, if any.
fn not_taken(command: &str) -> Option<String> {
    let lines = alternatives(command);
    let typed = lines.iter().flat_map(|line| calls(line));
    let ours = typed.filter(|words| words.first().is_some_and(|word| word == "longshore"));
    let words = ours.map(|words| words.iter().map(|word| value(word)).collect::<Vec<_>>());
    let mut errors = words.filter_map(|words| Arguments::try_parse_from(words).err());
    errors.next().map(|e| format!("{command}: {e}"))
}

/// Returns the command without its bracketed parts, then once with each bracketed choice appended.
fn alternatives(command: &str) -> Vec<String> {
    let mut bare = String::new();
    let mut choices = Vec::new();
    for (index, part) in command.split(['[', ']']).enumerate() {
        match index % 2 {
            0 => bare.push_str(part),
            _ => choices.extend(part.split('|').map(str::trim)),
        }
    }
    let with = choices.iter().map(|choice| format!("{bare} {choice}"));
    std::iter::once(bare.clone()).chain(with).collect()
}

/// Replaces a placeholder of the documents, such as `R` or `H`, with a value.
fn value(word: &str) -> String {
    match word {
        "R" | "REF" | "LOCATION" | "REGISTRY/NAME" => "localhost:5000/a/b:v1".to_owned(),
        "NAME" => "name".to_owned(),
        "ID" => "0".repeat(64),
        "ADDRESS" => "127.0.0.1:0".to_owned(),
        "H" => "localhost:5000".to_owned(),
        _ if word.starts_with('$') => "localhost:5000/a/b:v1".to_owned(),
        _ => match word.strip_prefix("H/").or_else(|| word.strip_prefix("H=")) {
            Some(rest) => format!("localhost:5000{}{rest}", &word[1..2]),
            None => word.to_owned(),
        },
    }
}
