//! How the program's help is laid out: the commands under headings, by what they are for.

use std::fmt::Write as _;

use clap::Command;

/// The program with its commands in groups, in place of clap's one long list.
pub(crate) fn grouped(program: Command) -> Command {
    let template = format!("{HEAD}{}{FOOT}", list(&program));
    program.help_template(template)
}

/// The commands of each group, with what is said of them.
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

/// Every command, in the group where someone would look for it.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "See what is there",
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
    ("Move images and artifacts", &["copy", "pull", "push", "artifact"]),
    ("Change what is there", &["tag", "untag", "rm", "append"]),
    ("Take single parts", &["manifest", "blob", "layer"]),
    ("Registries and credentials", &["login", "logout", "auth", "ping", "request", "v1", "serve"]),
    ("Get to know the program", &["demo", "completion"]),
];

const HEAD: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n";
const FOOT: &str =
    "`longshore help COMMAND` tells more of each.\n\nOptions:\n{options}{after-help}";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let program = Arguments::command();
        let mut all: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }
}
