//! The plot of the results: an SVG with horizontal bars.

use std::fmt::Write as _;

use super::contestant::Program;
use super::row::{Row, Who};

/// Draws the wall time of every program, divided by longshore's, in a group of bars for each row.
pub(super) fn svg(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for row in rows {
        y = group(&mut body, row, y);
    }
    let height = y + BAR;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{TITLE}\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"task\" x=\"{MARGIN}\" y=\"24\">{TITLE}</text>\n{body}</svg>\n"
    )
}

/// Draws a row below `y`, and returns the lower end.
fn group(body: &mut String, row: &Row, y: u32) -> u32 {
    let Some(unit) = row.longshore().and_then(|column| column.wall_seconds()) else { return y };
    let mut y = y + GAP;
    let task = escape(row.task.name);
    // Writing to a string does not fail.
    writeln!(body, "<text class=\"task\" x=\"{MARGIN}\" y=\"{y}\">{task}</text>").ok();
    for column in &row.columns {
        let Some(wall) = column.wall_seconds() else { continue };
        y += BAR;
        let (name, times) = (escape(column.name()), wall / unit);
        let (class, length) = (class(column.who), length(times));
        let (top, end) = (y - BAR + 8, LEFT + length + 6.0);
        let more = if times > LONGEST { "→ " } else { "" };
        writeln!(
            body,
            "<text x=\"{name_end}\" y=\"{y}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"12\"/>\
             <text x=\"{end:.1}\" y=\"{y}\">{more}{times:.2} ({wall:.3} s)</text>",
            name_end = LEFT - 8.0,
        )
        .ok();
    }
    y + GAP / 3
}

/// Returns the length of a bar. Programs beyond [`LONGEST`] get the longest bar and an arrow.
fn length(times: f64) -> f64 {
    times.min(LONGEST) / LONGEST * LONGEST_LENGTH
}

fn class(who: Who) -> &'static str {
    match who {
        Who::Program(Program::Longshore) => "own",
        Who::Program(_) => "other",
        Who::Floor(_) => "floor",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const TITLE: &str = "Wall time relative to longshore (shorter is faster)";
/// Readable on light and dark pages; viewers without support for dark pages show the light colors.
const STYLE: &str = "text{font:13px sans-serif;fill:#1f2328}.task{font-weight:bold}\
    .page{fill:#fff}.own{fill:#0969da}.other{fill:#8c959f}.floor{fill:#d0d7de}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}\
    .own{fill:#4493f8}.other{fill:#6e7681}.floor{fill:#30363d}}";

// All lengths are in pixels.
const WIDTH: u32 = 800;
const TOP: u32 = 24;
const MARGIN: u32 = 12;
const GAP: u32 = 28;
const BAR: u32 = 18;
const LEFT: f64 = 140.0;
const LONGEST_LENGTH: f64 = 500.0;
/// The ratio with the longest bar. Much slower programs would make all other bars too short.
const LONGEST: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::super::task;
    use super::*;

    const LONGSHORE: Who = Who::Program(Program::Longshore);

    #[test]
    fn bars_are_relative_to_longshore() {
        let other = Who::Program(Program::Skopeo);
        let plot = svg(&[row("copy, 1 GiB, 8 layers", &[(LONGSHORE, &[2.0]), (other, &[4.0])])]);
        assert!(plot.contains(">1.00 (2.000 s)</text>"), "{plot}");
        assert!(plot.contains("class=\"other\" x=\"140\" y=\"78\" width=\"200.0\""), "{plot}");
        assert!(plot.contains(">2.00 (4.000 s)</text>"), "{plot}");
    }

    #[test]
    fn bars_of_very_slow_programs_are_cut_off() {
        let other = Who::Program(Program::Skopeo);
        let plot = svg(&[row("copy, 1 GiB", &[(LONGSHORE, &[1.0]), (other, &[30.0])])]);
        assert!(plot.contains("width=\"500.0\""), "{plot}");
        assert!(plot.contains(">→ 30.00 (30.000 s)</text>"), "{plot}");
    }

    #[test]
    fn text_is_escaped() {
        let plot =
            svg(&[row("copy, 1 GiB", &[(LONGSHORE, &[1.0]), (Who::Floor("<&\">"), &[1.0])])]);
        assert!(plot.contains(">&lt;&amp;&quot;&gt;</text>"), "{plot}");
    }

    #[test]
    fn the_plot_of_all_tasks_is_small() {
        let programs = [Program::Longshore, Program::Before, Program::Skopeo, Program::OciClient]
            .into_iter()
            .chain(Program::OPTIONAL);
        let columns: Vec<(Who, &[f64])> =
            programs.map(|program| (Who::Program(program), &[1.0][..])).collect();
        let tasks = task::select("", true, 1.0);
        let rows: Vec<Row> = tasks.iter().map(|task| row(task.name, &columns)).collect();
        assert!(svg(&rows).len() < 60_000, "{}", svg(&rows).len());
    }
}
