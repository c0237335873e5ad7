//! Checks the help texts against the commands that the program accepts.

use clap::{Command, CommandFactory as _, Parser as _};

use super::Arguments;

mod documents;

#[test]
fn every_command_has_an_example() {
    let without: Vec<_> = helps()
        .into_iter()
        .filter(|(path, help)| !examples(help).iter().any(|words| words.starts_with(path)))
        .map(|(path, _)| path.join(" "))
        .collect();
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_example_is_accepted_by_the_parser() {
    let refused: Vec<_> = helps()
        .iter()
        .flat_map(|(_, help)| examples(help))
        .filter_map(|words| Arguments::try_parse_from(words).err())
        .map(|e| e.to_string())
        .collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn no_example_line_is_longer_than_100_columns() {
    let helps = helps();
    let lines = helps.iter().flat_map(|(_, help)| help.lines());
    let long: Vec<_> = lines.filter(|l| l.starts_with("  ") && l.chars().count() > 100).collect();
    assert_eq!(long, [""; 0]);
}

#[test]
fn every_line_of_help_prose_ends_with_a_full_stop_or_colon() {
    for (command, help) in helps() {
        // Indented lines are examples and lists.
        for line in help.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')) {
            assert!(line.ends_with(['.', ':']), "{command:?}: {line}");
        }
    }
}

/// Returns the name as words (`longshore`, `blob`, `get`) and the `after_help` text of the program
/// and of each command without subcommands.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut helps = Vec::new();
    let mut commands = vec![(Vec::new(), Arguments::command())];
    while let Some((above, command)) = commands.pop() {
        let path = [above, vec![command.get_name().to_owned()]].concat();
        if !command.has_subcommands() || path.len() == 1 {
            helps.push((path.clone(), after_help(&command)));
        }
        commands.extend(command.get_subcommands().map(|below| (path.clone(), below.clone())));
    }
    helps
}

fn after_help(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// Returns the `longshore` commands in the examples of a help text, split into words.
fn examples(help: &str) -> Vec<Vec<String>> {
    let whole = help.replace("\\\n    ", "");
    let lines = whole.lines().filter(|line| line.starts_with("  "));
    lines.flat_map(calls).filter(|words| words.first().is_some_and(|w| w == "longshore")).collect()
}

/// Completes shortened digests, such as `sha256:4d3effeb2b58…`.
fn whole_digests(line: &str) -> String {
    let mut parts = line.split("sha256:");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        let (hex, rest) = match rest.strip_prefix('…') {
            Some(rest) => ("0".repeat(64), rest),
            None => (part[..part.len() - rest.len()].to_owned(), rest),
        };
        whole = format!("{whole}sha256:{hex}{rest}");
    }
    whole
}

/// Returns the commands on a line, one per pipe segment, split into words. Completes shortened
/// digests.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = whole_digests(line).replace("9e89cc6f…", &"9".repeat(64));
    // Three spaces separate the command from its description.
    let line = line.trim().split("   ").next().unwrap_or_default();
    let mut calls = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('|', None) => calls.push(String::new()),
            ('>' | '&' | ';', None) => break,
            ('\'' | '"', None) => quote = Some(c),
            (' ', Some(_)) => calls.last_mut().unwrap().push(QUOTED_SPACE),
            _ if quote == Some(c) => quote = None,
            _ => calls.last_mut().unwrap().push(c),
        }
    }
    let words = |call: &String| {
        let words = call.split_whitespace();
        words.map(|word| word.replace(QUOTED_SPACE, " ")).collect()
    };
    calls.iter().map(words).collect()
}

/// Stands for a space that does not separate words.
const QUOTED_SPACE: char = '\u{1}';
