use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use longshore::{Error, Result, blob_file};

/// The arguments of `longshore man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore man /usr/local/share/man/man1

The page of a command has the name of the command, such as longshore-copy.1.")]
pub(crate) struct Arguments {
    /// The folder, which is created if it does not exist.
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    blob_file::create_folder(folder)?;
    let program = crate::arguments::Arguments::laid_out();
    // The help of the program hides its commands, because it lists them in groups.
    let mut program = program.mut_subcommands(|command| command.hide(false));
    // Adds the options of every command to each command.
    program.build();
    write(program, folder).map_err(|e| Error::io(folder, e))
}

fn write(command: Command, folder: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| command.get_name() != "help") {
        write(subcommand.clone(), folder)?;
    }
    let page = Man::new(command).source(concat!("longshore ", env!("CARGO_PKG_VERSION")));
    page.generate_to(folder).map(drop)
}
