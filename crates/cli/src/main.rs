//! The program `longshore`. The library `longshore_cli` contains its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(longshore_cli::run(std::env::args_os()))
}
