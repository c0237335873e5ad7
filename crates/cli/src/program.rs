//! The run of the program: parses the command line, builds a context, runs one command, and prints
//! the error chain once.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use longshore::{Error, ErrorKind, ParseError, Result};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, writer::MakeWriterExt as _};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::{Arguments, Command};
use crate::context::Context;
use crate::global::Global;
use crate::trace::Trace;
use crate::{complete, dispatch, exit, message, output, signal};

/// Runs a command line, whose first word is the name of the program. Returns the exit code.
///
/// Installs a logger and signal handlers for the process, so a process can call it only once.
pub fn run(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    if complete::answer(&words) {
        return 0;
    }
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(e) => {
            let e = printable(e);
            // Nobody reads the text if its stream is closed.
            e.print().ok();
            return u8::try_from(e.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    let verbose = arguments.global.verbose > 0;
    match execute(arguments) {
        Ok(()) => 0,
        // The reader of stdout closed the pipe, as `| head` does.
        Err(e) if output::is_broken_pipe(&e) => 0,
        Err(e) => {
            if !exit::is_printed(&e) {
                message::error(&e, verbose);
            }
            exit::code(&e)
        }
    }
}

/// Escapes the quoted input, so that it cannot control a terminal, and hides passwords.
fn printable(mut error: clap::Error) -> clap::Error {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let is_secret = argument.is_some_and(|text| SECRET.iter().any(|name| text.starts_with(name)));
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand]
    {
        let is_secret = is_secret && kind == ContextKind::InvalidValue;
        if let Some(ContextValue::String(typed)) = error.get(kind) {
            let shown = if is_secret { "…".to_owned() } else { ParseError::shown(typed) };
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

/// Options whose values may contain a password.
const SECRET: [&str; 2] = ["--header", "--token-service"];

fn execute(arguments: Arguments) -> Result<()> {
    log(&arguments.global);
    let trace = arguments.global.trace.as_deref().map(Trace::create).transpose()?;
    let runtime = runtime(&arguments.command)
        .map_err(|e| Error::new(ErrorKind::Io).at("the async runtime").with_source(e))?;
    // A server handles signals itself and finishes its requests first.
    let serves = matches!(arguments.command, Command::Serve(_));
    let timeout = arguments.global.network.timeout().filter(|_| !serves);
    let can_continue = can_continue(&arguments.command);
    let result = runtime.block_on(async {
        let context = Context::new(arguments.global, trace);
        let work = dispatch::run(&context, arguments.command);
        let result = tokio::select! {
            // Signals are checked first, so that a command that waits for input can be interrupted.
            biased;
            () = signal::termination(), if !serves => {
                Err(with_hint(Error::new(ErrorKind::Canceled), can_continue))
            }
            error = too_late(timeout) => Err(with_hint(error, can_continue)),
            result = work => result,
        };
        if result.as_ref().is_err_and(exit::is_interrupt) {
            tokio::time::sleep(GIVING_UP).await;
        }
        result
    });
    // Dropped transfers remove or keep their partial files. A blocked read is abandoned.
    runtime.shutdown_timeout(CLEARING_AWAY);
    result
}

/// Returns true for the commands that run transfers. They run on several threads.
fn is_transfer(command: &Command) -> bool {
    matches!(command, Command::Copy(_) | Command::Pull(_) | Command::Push(_) | Command::Apply(_))
}

/// Returns true if the same command continues after an interruption.
fn can_continue(command: &Command) -> bool {
    match command {
        Command::Blob(command) => command.can_continue(),
        Command::Artifact(command) => command.can_continue(),
        Command::Copy(arguments) => arguments.can_continue(),
        Command::Pull(arguments) => arguments.can_continue(),
        command => is_transfer(command),
    }
}

/// Adds a hint to the error of a command that was stopped, if the command can be continued.
fn with_hint(error: Error, can_continue: bool) -> Error {
    match can_continue {
        true => error.with_hint("To continue, run the same command again."),
        false => error,
    }
}

/// Returns an error after the command's time limit, or never if there is no limit.
async fn too_late(timeout: Option<std::time::Duration>) -> Error {
    let Some(timeout) = timeout else { return std::future::pending().await };
    tokio::time::sleep(timeout).await;
    let clause = format!("the command did not finish within {timeout:?}");
    Error::new(ErrorKind::Timeout).detail(clause)
}

/// 300 ms after an interrupt, in which upload sessions that are not recorded are canceled.
const GIVING_UP: std::time::Duration = std::time::Duration::from_millis(300);
/// Two seconds: more than enough to remove or release partial files, which takes milliseconds.
const CLEARING_AWAY: std::time::Duration = std::time::Duration::from_secs(2);

/// Builds the async runtime. Only transfers and servers get several threads, because threads cost
/// start-up time.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let serves = matches!(command, Command::Serve(_) | Command::Demo(_));
    match serves || is_transfer(command) {
        true => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
        false => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    }
}

/// Prints library messages to stderr: as a log if requested, else as messages for users.
fn log(global: &Global) {
    // An empty variable counts as unset.
    let set = std::env::var("LONGSHORE_LOG").ok().filter(|set| !set.is_empty());
    let set = set.and_then(|set| set.parse::<Targets>().ok());
    let is_log = set.is_some() || global.verbose > 0;
    let level = match global.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let targets = set.unwrap_or_else(|| match global.verbose {
        0 if global.quiet => Targets::new().with_target("longshore", level),
        0 | 1 => Targets::new()
            .with_target("longshore", level)
            .with_target(longshore::wait::TARGET, level.max(LevelFilter::INFO)),
        _ => Targets::new().with_default(level),
    });
    let in_json = global.events;
    let lines = fmt::layer().log_internal_errors(false);
    let layer = match is_log {
        true => lines.with_writer(std::io::stderr).boxed(),
        false => lines
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .with_writer(
                (|| message::Event::Failure)
                    .with_filter(|e| *e.level() == LevelFilter::ERROR)
                    .or_else(
                        (move || message::Event::Wait { in_json })
                            .with_filter(|e| *e.level() == LevelFilter::INFO)
                            .or_else(|| message::Event::Warning),
                    ),
            )
            .boxed(),
    };
    tracing_subscriber::registry().with(layer).with(targets).init();
}
