use clap::Args;
use clap_complete::Shell;
use longshore::{Error, ErrorKind, Result};

use crate::{complete, output};

/// The arguments of `longshore completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore completion bash > /etc/bash_completion.d/longshore
  longshore completion zsh > ~/.zfunc/_longshore
  longshore completion fish > ~/.config/fish/completions/longshore.fish

The script also completes repositories and tags: localhost:5000/te<TAB>, ghcr.io/a/b:v<TAB>. It asks \
the registry for at most 2 s, with the stored credentials, and keeps the names for a minute.")]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let script = complete::script(&arguments.shell.to_string());
    output::bytes(&script.map_err(|e| Error::new(ErrorKind::Io).with_source(e))?)
}
