//! One row of the benchmark: the samples of every program for one task.

use super::contestant::Program;
use super::measure::Sample;
use super::task::Task;

/// The samples for one task: a column for each program.
pub(super) struct Row {
    pub(super) task: Task,
    pub(super) columns: Vec<Column>,
}

/// The samples of one program.
pub(super) struct Column {
    pub(super) who: Who,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Program(Program),
    /// A program that does only one part of the work, and that no program can undercut by much.
    Floor(&'static str),
}

/// A result that is compared with an aim.
#[derive(Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) task: &'static str,
    pub(super) what: String,
    pub(super) measured: f64,
    pub(super) aim: f64,
}

impl Column {
    pub(super) fn new(who: Who) -> Self {
        Self { who, samples: Vec::new() }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.who {
            Who::Program(program) => program.name(),
            Who::Floor(name) => name,
        }
    }

    /// Returns the median wall time; `None` if the program does not support the task.
    pub(super) fn wall_seconds(&self) -> Option<f64> {
        median(&self.samples, |s| s.wall_seconds)
    }

    fn cpu_seconds(&self) -> Option<f64> {
        median(&self.samples, |s| s.cpu_seconds)
    }

    fn peak_rss_mib(&self) -> Option<f64> {
        self.samples.iter().map(|s| s.peak_rss_mib).reduce(f64::max)
    }
}

impl Row {
    pub(super) const HEAD: &str = "\
| task | program | wall s (min–max) | ratio | CPU s | CPU s/GiB | peak RSS MiB | requests |\n\
|---|---|---|---|---|---|---|---|";

    /// Returns the lines of the table: one for each program. The ratio is the median wall time of
    /// longshore, divided by that of the line's program.
    pub(super) fn lines(&self) -> String {
        self.columns.iter().map(|column| self.line(column) + "\n").collect()
    }

    fn line(&self, column: &Column) -> String {
        let (task, name, samples) = (self.task.name, column.name(), &column.samples);
        let (Some(wall), Some(cpu), Some(rss)) =
            (column.wall_seconds(), column.cpu_seconds(), column.peak_rss_mib())
        else {
            return format!("| {task} | {name} | cannot | | | | | |");
        };
        let walls = || samples.iter().map(|s| s.wall_seconds);
        let (min, max) = (walls().fold(f64::INFINITY, f64::min), walls().fold(0.0, f64::max));
        let ratio = self.longshore().and_then(Column::wall_seconds).map(|first| first / wall);
        let mut requests: Vec<u64> = samples.iter().filter_map(|s| s.requests).collect();
        requests.sort_unstable();
        let requests = requests.get(requests.len() / 2).map(u64::to_string).unwrap_or_default();
        let above = self
            .task
            .memory_aim
            .filter(|aim| column.who == Who::Program(Program::Longshore) && rss > f64::from(*aim));
        let mark = above.map(|aim| format!(" (aim {aim})")).unwrap_or_default();
        format!(
            "| {task} | {name} | {wall:.3} ({min:.3}–{max:.3}) | {} | {cpu:.2} | {} | \
             {rss:.0}{mark} | {requests} |",
            two_digits(ratio),
            two_digits(self.task.bytes().map(|bytes| cpu / gib(bytes))),
        )
    }

    /// Returns all results that have an aim.
    pub(super) fn judged(&self) -> Vec<Judged> {
        [self.judged_wall(), self.judged_cpu(), self.judged_memory()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn judged_wall(&self) -> Option<Judged> {
        let aim = self.task.wall_aim?;
        let (fastest, wall) = self
            .columns
            .iter()
            .filter(|column| self.is_rival(column))
            .filter_map(|column| Some((column.name(), column.wall_seconds()?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        let measured = self.longshore()?.wall_seconds()? / wall;
        Some(self.judge(format!("wall time / that of {fastest}"), measured, aim))
    }

    fn judged_cpu(&self) -> Option<Judged> {
        let floors: Vec<f64> = self
            .columns
            .iter()
            .filter(|column| matches!(column.who, Who::Floor(_)))
            .filter_map(Column::cpu_seconds)
            .collect();
        let sum: f64 = floors.iter().sum();
        let measured = self.longshore()?.cpu_seconds()? / sum;
        (sum > 0.0).then(|| self.judge("CPU / that of both floors".to_owned(), measured, CPU_AIM))
    }

    fn judged_memory(&self) -> Option<Judged> {
        let aim = f64::from(self.task.memory_aim?);
        let measured = self.longshore()?.peak_rss_mib()?;
        Some(self.judge("peak RSS in MiB".to_owned(), measured, aim))
    }

    fn judge(&self, what: String, measured: f64, aim: f64) -> Judged {
        Judged { task: self.task.name, what, measured, aim }
    }

    /// Returns whether longshore's aims are relative to this program.
    fn is_rival(&self, column: &Column) -> bool {
        match column.who {
            Who::Program(Program::Longshore | Program::Before) | Who::Floor(_) => false,
            Who::Program(program) => program.verifies(self.task.action),
        }
    }

    pub(super) fn longshore(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.who == Who::Program(Program::Longshore))
    }
}

impl Judged {
    pub(super) const HEAD: &str = "\
| task | longshore's | measured | aim | |\n\
|---|---|---|---|---|";

    pub(super) fn line(&self) -> String {
        let Self { task, what, measured, aim } = self;
        let verdict = if measured <= aim { "reached" } else { "missed" };
        format!("| {task} | {what} | {measured:.2} | ≤ {aim} | {verdict} |")
    }
}

/// Returns the median of a value of all samples.
pub(super) fn median<T>(samples: &[T], of: impl Fn(&T) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[allow(clippy::cast_precision_loss, reason = "sizes are below 2^53")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn two_digits(number: Option<f64>) -> String {
    number.map(|number| format!("{number:.2}")).unwrap_or_default()
}

/// The aim for longshore's CPU time in a pull, divided by that of both floors together.
const CPU_AIM: f64 = 1.3;

#[cfg(test)]
pub(super) mod tests {
    use super::super::task::select;
    use super::*;

    /// Returns a row with one sample for each wall time; the CPU time is half of it.
    pub(in super::super) fn row(task: &str, columns: &[(Who, &[f64])]) -> Row {
        let sample = |wall: &f64| Sample {
            wall_seconds: *wall,
            cpu_seconds: wall / 2.0,
            peak_rss_mib: 70.0,
            requests: Some(20),
        };
        let column = |(who, walls): &(Who, &[f64])| Column {
            who: *who,
            samples: walls.iter().map(sample).collect(),
        };
        Row { task: select(task, true, 1.0)[0], columns: columns.iter().map(column).collect() }
    }

    const LONGSHORE: Who = Who::Program(Program::Longshore);
    const BEFORE: Who = Who::Program(Program::Before);
    const SKOPEO: Who = Who::Program(Program::Skopeo);
    const ORAS: Who = Who::Program(Program::Oras);

    #[test]
    fn a_line_has_medians_and_the_range() {
        let row = row("pull, 1 GiB, 8 layers", &[(LONGSHORE, &[2.0, 1.0, 3.0]), (SKOPEO, &[4.0])]);
        assert_eq!(
            row.lines(),
            "| pull, 1 GiB, 8 layers | longshore | 2.000 (1.000–3.000) | 1.00 | 1.00 | 1.00 | 70 | 20 |\n\
             | pull, 1 GiB, 8 layers | skopeo | 4.000 (4.000–4.000) | 0.50 | 2.00 | 2.00 | 70 | 20 |\n"
        );
    }

    #[test]
    fn a_program_without_samples_cannot() {
        let row = row("push, 1 GiB", &[(LONGSHORE, &[2.0]), (ORAS, &[])]);
        assert!(row.lines().ends_with("| oras | cannot | | | | | |\n"));
    }

    #[test]
    fn the_aim_is_relative_to_the_fastest_other_program_that_verifies() {
        let row = row(
            "copy, 1 GiB, 8 layers",
            &[(LONGSHORE, &[1.8]), (BEFORE, &[0.1]), (SKOPEO, &[2.0]), (ORAS, &[1.0])],
        );
        let lines: Vec<String> = row.judged().iter().map(Judged::line).collect();
        assert_eq!(
            lines,
            ["| copy, 1 GiB, 8 layers | wall time / that of skopeo | 0.90 | ≤ 0.95 | reached |"]
        );
    }

    #[test]
    fn the_cpu_time_is_compared_with_the_sum_of_the_floors() {
        let floors = [(Who::Floor("curl"), &[1.0][..]), (Who::Floor("sha256sum"), &[1.0])];
        let row = row("pull, 1 GiB, 1 layer", &[&[(LONGSHORE, &[3.0][..])], &floors[..]].concat());
        let lines: Vec<String> = row.judged().iter().map(Judged::line).collect();
        assert_eq!(
            lines,
            ["| pull, 1 GiB, 1 layer | CPU / that of both floors | 1.50 | ≤ 1.3 | missed |"]
        );
    }

    #[test]
    fn a_peak_above_the_aim_is_marked() {
        let row = row("blob put, 10 GiB", &[(LONGSHORE, &[9.0])]);
        assert!(row.lines().contains("| 70 (aim 64) |"), "{}", row.lines());
        assert!(row.judged()[0].line().ends_with("| peak RSS in MiB | 70.00 | ≤ 64 | missed |"));
    }
}
