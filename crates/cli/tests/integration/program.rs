//! Running the program, apart from the user's home and environment.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use longshore_testkit::process::Process;
use tempfile::TempDir;

/// A home of its own, and the program in it.
pub(crate) struct Program {
    home: TempDir,
}

/// How a run ended.
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

    /// A path within the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `scheme:PATH` for a path within the home.
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

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        self.run_with(arguments, b"")
    }

    /// Runs it with this on its standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Ended {
        run_command(self.command().args(arguments), stdin)
    }

    /// Runs a line of words to its end; it must succeed. Returns its standard output, trimmed.
    pub(crate) fn ok(&self, line: &str) -> String {
        let ended = self.run(line.split_whitespace());
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.stdout.trim_end().to_owned()
    }

    /// Runs a line of words to its end; it must end with this code. Returns its standard error.
    pub(crate) fn fails(&self, code: i32, line: &str) -> String {
        let ended = self.run(line.split_whitespace());
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}: nothing belongs on stdout");
        ended.stderr
    }

    /// Starts a registry in a folder of the home, or in memory.
    pub(crate) fn serve(&self, root: Option<&str>) -> Server {
        self.serve_with(root, &[])
    }

    /// The same with more arguments.
    pub(crate) fn serve_with(&self, root: Option<&str>, arguments: &[&str]) -> Server {
        self.start_server(root, &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// The same, listening where the arguments say.
    pub(crate) fn start_server(&self, root: Option<&str>, arguments: &[&str]) -> Server {
        self.start_server_by(self.command(), root, arguments)
    }

    /// The same in a process that may have so many files open.
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

/// Runs a command of the program with this on its standard input.
pub(crate) fn run_command(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends without reading breaks this pipe: no matter.
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

/// The files below a folder that are temporary: none may be left.
pub(crate) fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.map(|e| e.unwrap().path()) {
        if path.is_dir() {
            found.extend(leftovers(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(".partial-") {
            found.push(path);
        }
    }
    found
}

/// A minute: for a machine that does much else at the same time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
