use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use longshore::Result;

use crate::output;

/// The arguments of `longshore completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore completion bash > /etc/bash_completion.d/longshore
  longshore completion zsh > ~/.zfunc/_longshore
  longshore completion fish > ~/.config/fish/completions/longshore.fish")]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    let mut command = crate::arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "longshore", &mut script);
    output::bytes(&script)
}
