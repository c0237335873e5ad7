//! A summary of the output of `cargo test` and pytest.

use std::fmt;

/// The numbers of passed and failed tests: the closing line of `cargo xtask test`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The number of tests that were skipped by name, because a requirement is missing.
    pub(crate) left_out: u64,
    /// The names of tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Summary {
    /// Adds a line of output if it is the result of a test binary or names a failed test.
    pub(crate) fn read(&mut self, line: &str) {
        let failure = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        self.failures.extend(failure.map(str::to_owned));
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        self.add(counts.split([';', '.']));
    }

    /// Adds a line of the output of `pytest -q -rf` if it is the closing line or names a failed
    /// test.
    pub(crate) fn read_pytest(&mut self, line: &str) {
        let names = ["FAILED ", "ERROR "].into_iter().filter_map(|word| line.strip_prefix(word));
        self.failures.extend(names.map(str::to_owned));
        let closing = line.rsplit_once(" in ").filter(|(_, took)| is_duration(took));
        if let Some((counts, _)) = closing {
            self.add(counts.split(','));
        }
    }

    fn add<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            match count.trim().split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed" | "error" | "errors")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "filtered out" | "deselected" | "skipped")) => {
                    self.left_out += n.parse().unwrap_or(0)
                }
                _ => {}
            }
        }
    }
}

/// Returns true for a time as pytest prints it: `4.26s`, or `75.12s (0:01:15)`.
fn is_duration(text: &str) -> bool {
    text.split_once('s').is_some_and(|(seconds, _)| seconds.parse::<f64>().is_ok())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added() {
        let mut summary = Summary::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.33s",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.19s",
            "the test result: ok. 100 passed;",
        ] {
            summary.read(line);
        }
        assert_eq!((summary.passed, summary.failed, summary.left_out), (16, 2, 3));
        assert_eq!(summary.failures, ["a::c"]);
        assert_eq!(summary.to_string(), "16 passed, 2 failed");
    }

    #[test]
    fn the_closing_line_of_pytest_is_added() {
        let mut summary = Summary::default();
        for line in [
            "....F..                                                  [100%]",
            "FAILED tests/test_client.py::test_a_name - AssertionError: 3 failed in 4 places",
            "1 failed, 44 passed, 2 skipped, 3 deselected, 1 error in 14.26s",
            "45 passed in total",
            "1 passed in 75.12s (0:01:15)",
        ] {
            summary.read_pytest(line);
        }
        assert_eq!((summary.passed, summary.failed, summary.left_out), (45, 2, 5));
        assert_eq!(summary.failures.len(), 1);
    }
}
