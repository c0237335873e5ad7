//! Tables: aligned columns, fitted to the width of a terminal.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use longshore::EscapedText;

/// A column of a table.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// True for numbers.
    pub(crate) is_right: bool,
}

impl Column {
    pub(crate) const fn left(name: &'static str) -> Self {
        Self { name, is_right: false }
    }

    pub(crate) const fn right(name: &'static str) -> Self {
        Self { name, is_right: true }
    }
}

/// Writes rows below the names of their columns. On a terminal, the names are bold, unless
/// `NO_COLOR` is set, and each line is cut at the width of the terminal.
pub(crate) fn write(
    to: &mut dyn fmt::Write,
    columns: &[Column],
    rows: &[Vec<String>],
) -> fmt::Result {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| EscapedText(cell).to_string()).collect())
        .collect();
    let names: Vec<String> = columns.iter().map(|column| column.name.to_uppercase()).collect();
    let mut widths = vec![0; columns.len()];
    for row in rows.iter().chain([&names]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let limit = terminal_width().unwrap_or(usize::MAX);
    let is_bold = is_colored();
    for (at, row) in [&names].into_iter().chain(&rows).enumerate() {
        let line = cut(&line(columns, &widths, row)?, limit);
        match at == 0 && is_bold {
            true => writeln!(to, "\x1b[1m{line}\x1b[0m")?,
            false => writeln!(to, "{line}")?,
        }
    }
    Ok(())
}

fn line(columns: &[Column], widths: &[usize], row: &[String]) -> Result<String, fmt::Error> {
    let mut line = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(row) {
        match column.is_right {
            true => write!(line, "{cell:>width$}  ")?,
            false => write!(line, "{cell:<width$}  ")?,
        }
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

/// Cuts a line, and marks the cut.
fn cut(line: &str, width: usize) -> String {
    match line.chars().count() > width {
        true => line.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => line.to_owned(),
    }
}

/// Returns the width of the terminal, if stdout is one.
fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    stdout.is_terminal().then(|| terminal_size::terminal_size_of(stdout))?.map(|(w, _)| w.0.into())
}

fn is_colored() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_escaped() {
        let columns = [Column::left("tag"), Column::right("size"), Column::left("note")];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["v1", "10 B", ""]), row(["größer", "1.5 MiB", "\x1b[31m"])];
        let mut text = String::new();
        write(&mut text, &columns, &rows).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "TAG        SIZE  NOTE");
        assert_eq!(lines[1], "v1         10 B");
        assert!(lines[2].starts_with("größer  1.5 MiB  "), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
