//! The clients that longshore takes over from, run as they are and asked what they answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A Python interpreter that has the earlier clients, and does what a test tells it.
///
/// What is said to it is Python, so that a test shows the old call as its users wrote it. It has a
/// home of its own, empty, and an environment without anything of the user's. Dropping it ends it.
#[derive(Debug)]
pub struct Predecessor {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    home: TempDir,
}

impl Predecessor {
    /// Starts one with these variables in its environment.
    ///
    /// # Panics
    /// If the virtual environment is not there: `cargo xtask setup` makes it.
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

    /// Its home, where it also runs: what a test may put there is a `.netrc`, a `.docker/config.json`
    /// or a file to send.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs statements, `await` included.
    ///
    /// # Panics
    /// If they raise something.
    pub fn run(&mut self, statements: &str) {
        let answer = self.say(&json!({"run": statements}));
        drop(answer.unwrap_or_else(|raised| panic!("{statements}: {raised:?}")));
    }

    /// The value of an expression, as JSON: bytes as text of one character each, iterators as lists,
    /// objects as what `str` makes of them.
    ///
    /// # Panics
    /// If it raises something.
    pub fn gives(&mut self, expression: &str) -> Value {
        let answer = self.say(&json!({"ask": expression}));
        answer.unwrap_or_else(|raised| panic!("{expression}: {raised:?}"))
    }

    /// What an expression raises.
    ///
    /// # Panics
    /// If it gives a value.
    pub fn raises(&mut self, expression: &str) -> Raised {
        let answer = self.say(&json!({"ask": expression}));
        answer.map_or_else(|raised| raised, |value| panic!("{expression}: {value}"))
    }

    fn say(&mut self, request: &Value) -> Result<Value, Raised> {
        writeln!(self.requests.as_ref().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended over {request}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        if let Some(raised) = answer.get("raised") {
            return Err(Raised::read(raised));
        }
        Ok(answer["gave"].take())
    }
}

impl Drop for Predecessor {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.requests.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An exception of Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its class, and those that it is derived from.
    pub classes: Vec<String>,
    /// The status of the reply that it was made of.
    pub status: Option<u64>,
    /// Its text.
    pub message: String,
}

impl Raised {
    /// Whether it is of this class, or of one derived from it.
    #[must_use]
    pub fn is(&self, class: &str) -> bool {
        self.classes.iter().any(|own| own == class)
    }

    /// Its class and status, as a table of a test states them.
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

/// A program that the earlier clients install, such as `dxf`, in a home of its own.
///
/// # Panics
/// If the virtual environment is not there.
#[must_use]
pub fn installed_program(name: &str, home: &Path) -> Command {
    in_home(&python().with_file_name(name), home)
}

fn in_home(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(home).env("HOME", home).env("PYTHONUTF8", "1");
    // Windows starts nothing without these.
    let kept = ["PATH", "SYSTEMROOT", "TEMP"];
    command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// The virtual environment lies beside what cargo built, whatever the profile and the target.
fn python() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let mut places = own.ancestors().map(|folder| folder.join("predecessors").join(inside));
    places.find(|python| python.exists()).expect(
        "the earlier clients are not here; `cargo xtask setup` installs them, and `cargo xtask test` \
         leaves out the tests that need them",
    )
}
