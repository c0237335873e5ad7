//! Lays out the help: groups the commands under headings, and limits the short help (`-h`) to a
//! command's own options and the most common global options.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// Lays out the help of the program.
pub(crate) fn laid_out(program: Command) -> Command {
    let template = format!("{HEAD}{}{FOOT}", list(&program));
    let program = program
        .help_template(template)
        .mut_subcommands(|command| {
            // clap prints the last group itself, because clap adds `help` to this group.
            let listed = LAST.contains(&command.get_name());
            command.hide(!listed)
        })
        .subcommand_help_heading("Learn the program")
        .mut_args(|arg| {
            let rare = is_rare(&arg);
            arg.hide_short_help(rare)
        });
    // clap adds these options to each command that does not have them yet.
    let unused = program.get_arguments().filter(|arg| {
        arg.is_global_set() && (is_rare(arg) || UNUSED.contains(&arg.get_id().as_str()))
    });
    let hidden: Vec<Arg> = unused.map(|arg| arg.clone().hide(true)).collect();
    program.mut_subcommands(|command| match is_client(command.get_name()) {
        true => with_pointer(command),
        false => command.args(&hidden),
    })
}

/// Returns true for commands that send requests to registries.
fn is_client(command: &str) -> bool {
    !["serve", "help"].contains(&command) && !LAST.contains(&command)
}

/// Returns true for options that only the long help shows: those for reaching registries and
/// for credentials.
fn is_rare(arg: &Arg) -> bool {
    arg.get_help_heading().is_some_and(|heading| heading.starts_with("Options for "))
}

/// Adds a line to the short help that points to the options that only the long help shows.
fn with_pointer(command: Command) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(with_pointer);
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let pointer = "Options for reaching registries and for credentials: see --help";
    command.after_long_help(after.clone()).after_help(format!("{pointer}\n\n{after}"))
}

/// Lists the commands of each group with their descriptions.
fn list(program: &Command) -> String {
    let width = program.get_subcommands().map(|command| command.get_name().len()).max();
    let width = width.unwrap_or_default();
    let mut list = String::new();
    for (heading, names) in GROUPS {
        let _ = writeln!(list, "{heading}:");
        for command in names.iter().filter_map(|name| program.find_subcommand(name)) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(list, "  {:width$}  {about}", command.get_name());
        }
        list.push('\n');
    }
    list
}

/// The commands of all groups except the last.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Inspect",
        &[
            "catalog",
            "namespaces",
            "ls",
            "digest",
            "inspect",
            "platforms",
            "history",
            "config",
            "referrers",
        ],
    ),
    ("Transfer", &["copy", "pull", "push", "apply", "artifact"]),
    ("Change", &["tag", "untag", "rm", "append"]),
    ("Work with single objects", &["manifest", "blob", "layer"]),
    ("Registries and credentials", &["login", "logout", "auth", "ping", "request", "v1", "serve"]),
];
/// The commands of the last group.
const LAST: [&str; 3] = ["demo", "completion", "man"];
/// The options of every command that have no effect on commands that send no requests.
const UNUSED: [&str; 4] = ["json", "events", "trace", "format"];

const HEAD: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n";
const FOOT: &str = "{all-args}{after-help}";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn every_command_is_in_one_help_group() {
        let groups = GROUPS.iter().flat_map(|(_, names)| *names);
        let mut grouped: Vec<_> = groups.chain(&LAST).copied().collect();
        grouped.retain(|name| cfg!(feature = "legacy") || *name != "v1");
        let program = Arguments::command();
        let mut all: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn the_short_help_omits_options_for_registries_and_credentials() {
        let mut program = laid_out(Arguments::command());
        program.build();
        let tag = program.find_subcommand_mut("tag").unwrap();
        let (short, long) = (tag.render_help().to_string(), tag.render_long_help().to_string());
        for (option, in_short) in [("--json", true), ("--proxy", false), ("--auth-file", false)] {
            assert_eq!(short.contains(option), in_short, "{option}");
            assert!(long.contains(option), "{option}");
        }
    }
}
