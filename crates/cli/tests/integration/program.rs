//! Runs the program, isolated from the user's home and environment.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use longshore_testkit::process::Process;
use tempfile::TempDir;

/// The program with its own home folder.
pub(crate) struct Program {
    home: TempDir,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// Returns a path within the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Returns `scheme:PATH` for a path within the home folder.
    pub(crate) fn local(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.path(name).display())
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.home.path());
        command
    }

    /// Runs the program until it exits.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        self.run_with(arguments, b"")
    }

    /// Runs the program with this stdin until it exits.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Ended {
        run_command(self.command().args(arguments), stdin)
    }

    /// Runs a command line that must succeed, and returns its trimmed stdout.
    pub(crate) fn ok(&self, line: &str) -> String {
        let ended = self.run(line.split_whitespace());
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.stdout.trim_end().to_owned()
    }

    /// Runs a command line that must exit with this code, and returns its stderr.
    pub(crate) fn fails(&self, code: i32, line: &str) -> String {
        let ended = self.run(line.split_whitespace());
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}: stdout must be empty");
        ended.stderr
    }

    /// Starts a registry in a folder of the home folder, or in memory.
    pub(crate) fn serve(&self, root: Option<&str>) -> Server {
        self.serve_with(root, &[])
    }

    /// Starts a registry with additional arguments.
    pub(crate) fn serve_with(&self, root: Option<&str>, arguments: &[&str]) -> Server {
        self.start_server(root, &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts a registry that listens on the address in the arguments.
    pub(crate) fn start_server(&self, root: Option<&str>, arguments: &[&str]) -> Server {
        self.start_server_by(self.command(), root, arguments)
    }

    /// Starts a registry in a process with a limit on open files.
    #[cfg(target_os = "linux")]
    pub(crate) fn serve_within(&self, descriptors: u64, root: &str) -> Server {
        let program = self.command();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .current_dir(self.home.path());
        self.start_server_by(command, Some(root), &["--listen", "127.0.0.1:0"])
    }

    fn start_server_by(
        &self,
        mut command: Command,
        root: Option<&str>,
        arguments: &[&str],
    ) -> Server {
        command.arg("serve").args(arguments);
        match root {
            Some(root) => command.arg("--root").arg(self.path(root)),
            None => command.arg("--memory"),
        };
        let process = Process::start(&mut command);
        let line = process.wait_for("listening on ", DEADLINE).expect("the registry starts");
        let address = line.rsplit(' ').next().unwrap().trim().to_owned();
        Server { process, address }
    }
}

/// Runs a command of the program with this stdin.
pub(crate) fn run_command(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that exits without reading stdin breaks this pipe, which is not an error.
    child.stdin.take().unwrap().write_all(stdin).ok();
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running registry.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// Returns a runtime for proxies, which runs while this thread waits for programs.
pub(crate) fn background() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Returns the temporary files and folders below a folder. Tests expect none.
pub(crate) fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.map(|e| e.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if [".partial-", ".longshore-temporary-"].iter().any(|prefix| name.starts_with(prefix)) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// One minute, for a machine under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
