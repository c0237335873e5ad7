//! `cargo xtask matrix`: runs the fault matrix of the client, and prints its table.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::step::{cargo, succeed};

/// Runs the tests of the matrix, and prints a line for each fault and a column for each operation.
pub(crate) fn run() -> Result<(), Failure> {
    // Rows of an earlier run must not appear in this one. The folder may not exist.
    drop(fs::remove_dir_all(ROWS));
    let tests = succeed(
        cargo().args(["test", "-p", "longshore", "--test", "integration"]).args(["--", "matrix::"]),
    );
    let rows = (1..=OPERATIONS).map(|operation| {
        let path = Path::new(ROWS).join(format!("O{operation}"));
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines().filter_map(Cell::parse).collect()
    });
    print!("{}", table(&rows.collect::<Vec<_>>()));
    tests
}

/// The runs of one fault in one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    fault: usize,
    passed: usize,
    recovered: usize,
    failed: usize,
    wrong: usize,
}

impl Cell {
    /// Parses a line such as `F06 1 2 0 0`: the fault, and the numbers of runs that succeeded, that
    /// recovered, that failed with the expected error, and that had another outcome.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix('F')?.split(' ');
        let mut next = || words.next()?.parse().ok();
        Some(Self {
            fault: next()?,
            passed: next()?,
            recovered: next()?,
            failed: next()?,
            wrong: next()?,
        })
    }

    fn runs(self) -> usize {
        self.passed + self.recovered + self.failed + self.wrong
    }

    /// Returns the most notable outcome of the runs.
    fn symbol(self) -> &'static str {
        match self {
            Self { wrong: 1.., .. } => "WRONG",
            Self { failed: 1.., .. } => "err",
            Self { recovered: 1.., .. } => "rec",
            Self { passed: 1.., .. } => "ok",
            _ => "-",
        }
    }
}

fn table(rows: &[Vec<Cell>]) -> String {
    let mut table = String::from("fault");
    for operation in 1..=rows.len() {
        table.push_str(&format!("{:>6}", format!("O{operation}")));
    }
    table.push('\n');
    for fault in 1..=FAULTS {
        table.push_str(&format!("F{fault:02}  "));
        for row in rows {
            let symbol = row.iter().find(|cell| cell.fault == fault).map_or("?", |c| c.symbol());
            table.push_str(&format!("{symbol:>6}"));
        }
        table.push('\n');
    }
    let all = || rows.iter().flatten();
    let count = |symbol| all().filter(|cell| cell.symbol() == symbol).count();
    let runs: usize = all().map(|cell| cell.runs()).sum();
    table.push_str(&format!(
        "\n{} cells: {} ok, {} recovered (rec), {} with a typed error (err), {} wrong, \
         {} left out (-); {runs} runs\n",
        all().count(),
        count("ok"),
        count("rec"),
        count("err"),
        count("WRONG"),
        count("-"),
    ));
    table
}

/// The folder in which each test of the matrix writes its row.
const ROWS: &str = "target/tmp/fault-matrix";
const OPERATIONS: usize = 17;
const FAULTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_the_most_notable_outcome_of_each_cell() {
        let lines = ["F01 2 0 0 0", "F02 1 1 0 0", "F03 1 1 1 0", "F04 1 1 1 1", "F05 0 0 0 0 why"];
        let row: Vec<_> = lines.iter().filter_map(|line| Cell::parse(line)).collect();
        let symbols: Vec<_> = row.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(symbols, ["ok", "rec", "err", "WRONG", "-"]);
        let table = table(&[row]);
        assert!(table.contains("\nF04   WRONG\nF05       -\nF06       ?\n"), "{table}");
        let total = "5 cells: 1 ok, 1 recovered (rec), 1 with a typed error (err), 1 wrong, \
                     1 left out (-); 11 runs\n";
        assert!(table.ends_with(total), "{table}");
    }
}
