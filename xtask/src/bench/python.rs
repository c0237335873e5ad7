//! `cargo xtask bench python`: compares the Python package with the earlier clients and with the
//! program.
//!
//! Owns the jobs, and the list of clients. `benches/python` has the code of each client.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::measure::{Sample, machine, measure_output, succeed};
use super::options::Options;
use super::row::median;
use super::server::{Kind, Server};
use super::{PROFILE, Result, build, content};
use crate::failure::Failure;
use crate::package;
use crate::python::{Environment, PACKAGE, PREDECESSORS, pip_install};

/// Runs all jobs, and prints a table of the results and a table of the aims in Markdown.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let longshore = match &options.longshore {
        Some(program) => program.clone(),
        None => {
            build("Cargo.toml", super::TARGET, PROFILE)?;
            Path::new(super::TARGET).join(PROFILE).join("longshore")
        }
    };
    let wheel = match &options.wheel {
        Some(wheel) => wheel.clone(),
        None => package::build(PROFILE, &[])?,
    };
    crate::step::succeed(pip_install(&PACKAGE.python()?).arg("--force-reinstall").arg(&wheel))?;
    let folder = content::scratch()?;
    let result = Bench { longshore, folder: folder.clone(), options }.all();
    std::fs::remove_dir_all(&folder).ok();
    result
}

/// What every client does.
struct Job {
    name: &'static str,
    work: Work,
    /// The aim for the package's time, divided by that of the fastest earlier client.
    aim: f64,
}

#[derive(Clone, Copy)]
enum Work {
    ListTags,
    Pull,
    Push,
    ReadImages,
    /// Copies images to a registry that syncs files, or to a registry in memory. Syncing takes
    /// most of the time of the former, so the latter shows what the client takes.
    CopyImages {
        in_memory: bool,
    },
}

impl Work {
    /// Returns the function in `benches/python`.
    fn function(self) -> &'static str {
        match self {
            Self::ListTags => "list_tags",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::ReadImages => "read_images",
            Self::CopyImages { .. } => "copy_images",
        }
    }
}

const JOBS: [Job; 6] = [
    Job { name: "list 20,000 tags", work: Work::ListTags, aim: 0.2 },
    Job { name: "pull a blob of 512 MiB", work: Work::Pull, aim: 1.0 / 1.3 },
    Job { name: "push a blob of 512 MiB", work: Work::Push, aim: 1.0 / 1.3 },
    Job { name: "read 200 manifests and configurations", work: Work::ReadImages, aim: 0.2 },
    Job {
        name: "copy 200 images of 3 × 20 KiB",
        work: Work::CopyImages { in_memory: false },
        aim: 0.2,
    },
    Job {
        name: "copy 200 images to a registry in memory",
        work: Work::CopyImages { in_memory: true },
        aim: 0.2,
    },
];

/// A client, with the module that uses it.
struct Client {
    name: &'static str,
    module: &'static str,
    environment: Environment,
}

const CLIENTS: [Client; 7] = [
    Client { name: "longshore", module: "longshore", environment: PACKAGE },
    Client { name: "longshore.aio", module: "longshore_aio", environment: PACKAGE },
    Client { name: "docker-registry-client-async", module: "crashvb", environment: PREDECESSORS },
    Client { name: "dreg-client", module: "dreg", environment: PREDECESSORS },
    Client { name: "docker-registry-client", module: "yodle", environment: PREDECESSORS },
    Client { name: "moby-distribution", module: "moby", environment: PREDECESSORS },
    Client { name: "python-dxf", module: "dxf", environment: PREDECESSORS },
];

/// The time of the call, and the cost of the process.
struct Run {
    seconds: f64,
    process: Sample,
}

/// The runs of one client; empty if it does not support the job.
struct Column {
    name: &'static str,
    runs: Vec<Run>,
}

impl Column {
    fn seconds(&self) -> Option<f64> {
        median(&self.runs, |run| run.seconds)
    }

    fn peak_rss_mib(&self) -> Option<f64> {
        self.runs.iter().map(|run| run.process.peak_rss_mib).reduce(f64::max)
    }
}

/// What `work.py` prints.
#[derive(Deserialize)]
struct Report {
    seconds: f64,
    done: String,
}

struct Bench {
    longshore: PathBuf,
    folder: PathBuf,
    options: Options,
}

/// The content of the source, and what each job must achieve.
struct Prepared {
    source: Server,
    tags: usize,
    images: usize,
    bytes: u64,
    digest: String,
    file: PathBuf,
}

impl Bench {
    fn all(&self) -> Result<()> {
        let prepared = self.prepare()?;
        println!("{}", machine());
        println!("| task | client | call s (min–max) | ratio | process s | peak RSS MiB |");
        println!("|---|---|---|---|---|---|");
        let mut judged = Vec::new();
        for job in JOBS.iter().filter(|job| job.name.contains(&self.options.only)) {
            let columns = self.columns(job, &prepared)?;
            print!("{}", lines(job, &columns));
            judged.extend(judge(job, &columns));
        }
        println!("\n| task | longshore's | measured | aim | |\n|---|---|---|---|---|");
        for line in judged {
            println!("{line}");
        }
        Ok(())
    }

    fn prepare(&self) -> Result<Prepared> {
        let count = |number: u32| (f64::from(number) * self.options.scale).ceil();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the numbers are small and positive"
        )]
        let (tags, images, bytes) =
            (count(20_000) as usize, count(200) as usize, (count(512) as u64) << 20);
        let source = self.start(self.options.registry, "source")?;
        let python = PACKAGE.python()?.display().to_string();
        let numbers = [tags.to_string(), images.to_string(), bytes.to_string()];
        let [tags_text, images_text, bytes_text] = &numbers;
        let script = [SCRIPTS, "prepare.py"].concat();
        let arguments = [&script, source.address(), tags_text, images_text, bytes_text];
        let digest = succeed(&python, &arguments)?.trim().to_owned();
        let file = self.folder.join("blob");
        let name = format!("{}/bench/large@{digest}", source.address());
        let get = ["blob", "get", &name, "-o", &file.display().to_string()];
        succeed(&self.longshore.display().to_string(), &get)?;
        Ok(Prepared { source, tags, images, bytes, digest, file })
    }

    fn start(&self, kind: Kind, root: &str) -> Result<Server> {
        Server::start(kind, &self.longshore, &self.folder.join(root), None)
    }

    /// Measures all clients in turn for several rounds, and then the program.
    fn columns(&self, job: &Job, prepared: &Prepared) -> Result<Vec<Column>> {
        let names = CLIENTS.iter().map(|client| client.name).chain([PROGRAM]);
        let mut columns: Vec<Column> =
            names.map(|name| Column { name, runs: Vec::new() }).collect();
        for round in 0..=self.options.rounds {
            for (n, column) in columns.iter_mut().enumerate() {
                let run = match CLIENTS.get(n) {
                    Some(client) => self.client(client, job, prepared)?,
                    None => self.program(job, prepared)?,
                };
                // The first round warms up caches.
                column.runs.extend(run.filter(|_| round > 0));
            }
        }
        Ok(columns)
    }

    fn client(&self, client: &Client, job: &Job, prepared: &Prepared) -> Result<Option<Run>> {
        let target = self.target(job)?;
        let (words, expected) = self.call(job, prepared, target.as_ref());
        let mut line = vec![
            client.environment.python()?.display().to_string(),
            [SCRIPTS, "work.py"].concat(),
            client.module.to_owned(),
            job.work.function().to_owned(),
        ];
        line.extend(words);
        let Some((process, printed)) = measure_output(&line, UNSUPPORTED)? else {
            return Ok(None);
        };
        let report: Report = serde_json::from_slice(&printed)
            .map_err(|e| Failure::new(format!("{}: {e}", line.join(" "))))?;
        if report.done != expected {
            let (name, done) = (client.name, report.done);
            println!("<!-- {name}: {}: {done} of {expected} -->", job.name);
            return Ok(None);
        }
        self.clear()?;
        Ok(Some(Run { seconds: report.seconds, process }))
    }

    /// Measures the program with the same job. It reads no configurations of many images at once.
    fn program(&self, job: &Job, prepared: &Prepared) -> Result<Option<Run>> {
        let target = self.target(job)?;
        let source = prepared.source.address();
        let there = target.as_ref().map_or("", Server::address);
        let (digest, file) = (&prepared.digest, prepared.file.display());
        let pulled = self.pulled();
        let words = match job.work {
            Work::ListTags => format!("ls {source}/bench/many"),
            Work::Pull => {
                format!("blob get {source}/bench/large@{digest} -o {}", pulled.display())
            }
            Work::Push => format!("blob put {there}/bench/large {file}"),
            Work::CopyImages { .. } => {
                format!("copy --quiet --all-tags {source}/bench/small {there}/bench/small")
            }
            Work::ReadImages => return Ok(None),
        };
        let mut line = vec![self.longshore.display().to_string()];
        line.extend(words.split(' ').map(str::to_owned));
        let measured = measure_output(&line, UNSUPPORTED)?;
        self.clear()?;
        Ok(measured.map(|(process, _)| Run { seconds: process.wall_seconds, process }))
    }

    /// Starts an empty registry, if the job writes to one.
    fn target(&self, job: &Job) -> Result<Option<Server>> {
        let kind = match job.work {
            Work::Push | Work::CopyImages { in_memory: false } => self.options.registry,
            Work::CopyImages { in_memory: true } => Kind::LongshoreInMemory,
            Work::ListTags | Work::Pull | Work::ReadImages => return Ok(None),
        };
        self.start(kind, "target").map(Some)
    }

    /// Returns the arguments of a function, and its expected result.
    fn call(
        &self,
        job: &Job,
        prepared: &Prepared,
        target: Option<&Server>,
    ) -> (Vec<String>, String) {
        let Prepared { tags, images, bytes, digest, file, .. } = prepared;
        let source = prepared.source.address();
        let there = target.map_or("", Server::address);
        let (count, file) = (images.to_string(), file.display().to_string());
        let pulled = self.pulled().display().to_string();
        let (words, expected) = match job.work {
            Work::ListTags => (vec![source, "bench/many"], tags.to_string()),
            Work::Pull => (vec![source, "bench/large", digest, &pulled], bytes.to_string()),
            Work::Push => (vec![there, "bench/large", &file], digest.clone()),
            Work::ReadImages => (vec![source, "bench/small", &count], count.clone()),
            Work::CopyImages { .. } => (vec![source, there, "bench/small", &count], count.clone()),
        };
        (words.into_iter().map(str::to_owned).collect(), expected)
    }

    fn pulled(&self) -> PathBuf {
        self.folder.join("pulled")
    }

    /// Removes what a run left behind.
    fn clear(&self) -> Result<()> {
        std::fs::remove_file(self.pulled()).ok();
        let target = self.folder.join("target");
        match std::fs::remove_dir_all(&target) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::io(&target, &e)),
            _ => Ok(()),
        }
    }
}

/// Returns the lines of the table. The ratio is the package's time divided by that of the line.
fn lines(job: &Job, columns: &[Column]) -> String {
    let ours = columns.first().and_then(Column::seconds);
    let line = |column: &Column| {
        let (Some(seconds), Some(rss)) = (column.seconds(), column.peak_rss_mib()) else {
            return format!("| {} | {} | cannot | | | |\n", job.name, column.name);
        };
        let all = || column.runs.iter().map(|run| run.seconds);
        let (min, max) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        let ratio = ours.map(|ours| format!("{:.2}", ours / seconds)).unwrap_or_default();
        let process = median(&column.runs, |run| run.process.wall_seconds).unwrap_or_default();
        format!(
            "| {} | {} | {seconds:.3} ({min:.3}–{max:.3}) | {ratio} | {process:.3} | {rss:.0} |\n",
            job.name, column.name
        )
    };
    columns.iter().map(line).collect()
}

/// Compares the faster of both modules with the fastest earlier client, the smallest one, and the
/// program.
fn judge(job: &Job, columns: &[Column]) -> Vec<String> {
    let is_ours = |column: &&Column| column.name.starts_with("longshore");
    let least = |columns: Vec<&Column>, of: fn(&Column) -> Option<f64>| {
        let known = columns.into_iter().filter_map(|column| Some((column.name, of(column)?)));
        known.min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let theirs =
        || columns.iter().filter(|column| !is_ours(column) && column.name != PROGRAM).collect();
    let ours = || columns.iter().filter(is_ours).collect();
    let program = columns.iter().filter(|column| column.name == PROGRAM).collect();
    let verdict = |what: &str, ours: Option<Value>, other: Option<Value>, aim: f64| {
        let ((ours, measured), (other, reference)) = (ours?, other?);
        let ratio = measured / reference;
        let verdict = if ratio <= aim { "reached" } else { "missed" };
        Some(format!(
            "| {} | {what} of {ours} / that of {other} | {ratio:.2} | ≤ {aim:.2} | {verdict} |",
            job.name
        ))
    };
    let (seconds, rss) = (least(ours(), Column::seconds), least(ours(), Column::peak_rss_mib));
    [
        verdict("time", seconds, least(theirs(), Column::seconds), job.aim),
        verdict("peak RSS", rss, least(theirs(), Column::peak_rss_mib), 1.0),
        verdict("time", seconds, least(program, Column::seconds), 1.15),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The name of a client, and a measured value.
type Value = (&'static str, f64);

const SCRIPTS: &str = "benches/python/";
const PROGRAM: &str = "the program";
/// The exit code of `work.py` for a job that a client does not support.
const UNSUPPORTED: i32 = 3;
