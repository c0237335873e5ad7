//! The clients that longshore replaces, run unmodified for comparison.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A Python interpreter with the earlier clients, controlled by a test.
///
/// Tests send Python code to the interpreter, so that they show the old calls as users wrote them.
/// The interpreter has its own empty home folder, and an environment without the user's variables.
/// Dropping this value stops the interpreter.
#[derive(Debug)]
pub struct Predecessor {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    home: TempDir,
}

impl Predecessor {
    /// Starts an interpreter with these variables in its environment.
    ///
    /// # Panics
    /// If the virtual environment does not exist. `cargo xtask setup` creates it.
    #[must_use]
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer/predecessor/driver.py");
        let mut child = in_home(&python(), home.path())
            .envs(environment.iter().copied())
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, answers, home }
    }

    /// Returns the interpreter's home folder, which is also its working folder. A test may create a
    /// `.netrc`, a `.docker/config.json` or a file to upload there.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs statements, which may contain `await`.
    ///
    /// # Panics
    /// If the statements raise an exception.
    pub fn run(&mut self, statements: &str) {
        let answer = self.send(&json!({"run": statements}));
        drop(answer.unwrap_or_else(|raised| panic!("{statements}: {raised:?}")));
    }

    /// Returns the value of an expression as JSON: bytes as text with one character per byte,
    /// iterators as lists, objects as their `str`.
    ///
    /// # Panics
    /// If the expression raises an exception.
    pub fn gives(&mut self, expression: &str) -> Value {
        let answer = self.send(&json!({"ask": expression}));
        answer.unwrap_or_else(|raised| panic!("{expression}: {raised:?}"))
    }

    /// Returns the exception that an expression raises.
    ///
    /// # Panics
    /// If the expression returns a value.
    pub fn raises(&mut self, expression: &str) -> Raised {
        let answer = self.send(&json!({"ask": expression}));
        answer.map_or_else(|raised| raised, |value| panic!("{expression}: {value}"))
    }

    fn send(&mut self, request: &Value) -> Result<Value, Raised> {
        writeln!(self.requests.as_ref().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the interpreter ended at {request}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        if let Some(raised) = answer.get("raised") {
            return Err(Raised::read(raised));
        }
        Ok(answer["gave"].take())
    }
}

impl Drop for Predecessor {
    fn drop(&mut self) {
        // Closing its input ends the interpreter.
        drop(self.requests.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A Python exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The class of the exception, and its base classes.
    pub classes: Vec<String>,
    /// The status of the reply that caused the exception.
    pub status: Option<u64>,
    /// The text of the exception.
    pub message: String,
}

impl Raised {
    /// Returns true if the exception is of this class, or of a subclass.
    #[must_use]
    pub fn is(&self, class: &str) -> bool {
        self.classes.iter().any(|own| own == class)
    }

    /// Returns the class and the status, for tables of expected results.
    #[must_use]
    pub fn short(&self) -> (&str, Option<u64>) {
        (&self.classes[0], self.status)
    }

    fn read(raised: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            classes: raised["classes"].as_array().unwrap().iter().map(text).collect(),
            status: raised["status"].as_u64(),
            message: text(&raised["message"]),
        }
    }
}

/// Returns a command for a program that the earlier clients install, such as `dxf`, with this home
/// folder.
///
/// # Panics
/// If the virtual environment does not exist.
#[must_use]
pub fn installed_program(name: &str, home: &Path) -> Command {
    in_home(&python().with_file_name(name), home)
}

fn in_home(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(home).env("HOME", home).env("PYTHONUTF8", "1");
    // Windows cannot start programs without these variables.
    let kept = ["PATH", "SYSTEMROOT", "TEMP"];
    command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// Returns the interpreter of the virtual environment. All profiles and targets share this
/// environment, which is in the target folder.
fn python() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let mut places = own.ancestors().map(|folder| folder.join("predecessors").join(inside));
    places.find(|python| python.exists()).expect(
        "the earlier clients are not installed; `cargo xtask setup` installs them, and `cargo \
         xtask test` skips the tests that need them",
    )
}
